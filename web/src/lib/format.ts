/** How are times, sizes and figures written? In the viewer's own time zone and language, with units. */

const locale = navigator.language;

/** Writes points in time in one way. What knows the language's rules is made once, when it is first needed: to make it takes milliseconds. */
function written(how: Intl.DateTimeFormatOptions): (unix: number) => string {
  let rules: Intl.DateTimeFormat | undefined;
  return (unix) => (rules ??= new Intl.DateTimeFormat(locale, how)).format(unix * 1000);
}

const briefly = written({ dateStyle: "medium", timeStyle: "short" });
const long = written({ dateStyle: "full", timeStyle: "long" });

/** A point in time, from Unix seconds; a dash where it never happened. */
export const when = (unix: number): string => (unix ? briefly(unix) : "–");

/** The same with seconds and the zone, for whoever asks. */
export const exactly = (unix: number): string => (unix ? long(unix) : "never");

/** The time of day, with seconds. */
export const clock = written({ timeStyle: "medium" });

/** How long ago, in one unit. */
export function ago(unix: number, now = Date.now() / 1000): string {
  if (!unix) return "never";
  const past = Math.max(0, now - unix);
  if (past < 10) return "just now";
  return `${duration(past)} ago`;
}

/** A duration in the unit that fits. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Bytes, in powers of ten. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A figure of a metric; a dash where it was not told. */
export function figure(value: number | null | undefined, digits = 3): string {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

/** Enough of a digest to tell it from others. */
export function short(digest: string): string {
  const [kind, hex = ""] = digest.split(":");
  return hex ? `${kind}:${hex.slice(0, 10)}` : digest.slice(0, 12);
}

/** An argument as a shell takes it. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What is a name of a thing in a federation. */
export const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
export const NAME_RULE = "1 to 63 lower-case letters, digits and hyphens";
