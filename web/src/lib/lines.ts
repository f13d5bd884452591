/** Which lines of a log are on the page? The newest, those before them that were asked for, and no end of neither. */
import type { Schemas } from "../api/client";

export type Line = Schemas["LogView"];
export type Level = Schemas["LogLevel"];
export const LEVELS: readonly Level[] = ["debug", "info", "warning", "error"];

/** Lines in order; `earlier`: whether there are others before them. */
export type Lines = { lines: readonly Line[]; earlier: boolean };
export type Wanted = { silo: string; level: Level; round: string; text: string };

/** What an address asks for; what it says in error is left out. */
export function wantedIn(query: URLSearchParams): Wanted {
  const level = LEVELS.find((one) => one === query.get("level")) ?? "info";
  const round = query.get("round") ?? "";
  return { silo: query.get("silo") ?? "", level, round: /^\d{1,6}$/.test(round) ? round : "", text: (query.get("text") ?? "").slice(0, 200) };
}

/** With new lines at the end, and no more than `most`. */
export function after(old: Lines, fresh: readonly Line[], most: number): Lines {
  const all = [...old.lines, ...fresh];
  return all.length > most ? { lines: all.slice(-most), earlier: true } : { lines: all, earlier: old.earlier };
}

/** With lines before them; a page that is full has others before it. */
export function before(old: Lines, page: readonly Line[], full: boolean): Lines {
  const first = old.lines[0]?.seq ?? Number.POSITIVE_INFINITY;
  return { lines: [...page.filter((one) => one.seq < first), ...old.lines], earlier: full };
}

/** What is said in place of lines that did not come, or were not kept; null for a line. */
export function dropped(line: Line): string | null {
  if (line.origin !== "coordinator") return null;
  const count = /^(\d+) lines? .*missing/.exec(line.text)?.[1];
  if (!count) return line.silo ? `${line.silo}: ${line.text}` : null;
  const whose = line.silo || "the coordinator";
  return count === "1" ? `1 line of ${whose} was dropped` : `${count} lines of ${whose} were dropped`;
}

/** Lines as a text file has them: when (UTC), level, whose, round, text. */
export const written = (lines: readonly Line[]): string =>
  lines.map(({ at, level, silo, round, text }) => `${new Date(at * 1000).toISOString()} ${level} ${silo || "coordinator"} round ${round} ${text.replaceAll("\n", "\n  ")}\n`).join("");
