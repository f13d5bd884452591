/** What did the silos answer together? In words, and as a file: what is not told says so. */
import type { Schemas } from "../api/client";
import type { Query, QueryColumn } from "./question";

export type Answer = Schemas["QueryAnswer"];
export type Told = Schemas["ColumnAnswer"];
export type Crossed = Schemas["TableAnswer"];

export const HIDDEN = "hidden";
const DROWNED = "in the noise";

/** A number as the command line writes it: six figures that count. */
export const number = (value: number): string => String(Number(value.toPrecision(6)));

export const count = (value: number | null): string => (value === null ? HIDDEN : String(value));

/** A mean or a deviation, with what noise may have moved it by. */
export function moment(value: number | null | undefined, error: number | undefined, noisy: boolean): string {
  if (value === null || value === undefined) return noisy ? DROWNED : HIDDEN;
  return noisy ? `${number(value)} ± ${Number((error ?? 0).toPrecision(2))}` : number(value);
}

/** What a group of a column is. */
export function label(column: QueryColumn, group: number): string {
  const cuts = column.cuts ?? [];
  if (!cuts.length) {
    const code = column.codes?.[group];
    return code ? (code.meaning ? `${code.value} (${code.meaning})` : `${code.value}`) : `${group}`;
  }
  if (group === 0) return `up to ${number(cuts[0] as number)}`;
  const above = `above ${number(cuts[group - 1] as number)}`;
  return group === cuts.length ? above : `${above} to ${number(cuts[group] as number)}`;
}

/** The groups of a column, and at last those without a value, as the sides of a table have them. */
export const labels = (column: QueryColumn): string[] => [...Array.from({ length: groups(column) }, (_, group) => label(column, group)), "missing"];

const groups = (column: QueryColumn): number => (column.cuts?.length ? column.cuts.length + 1 : (column.codes?.length ?? 0));

/** What the test of a table says. */
export function tested(table: Crossed, noisy: boolean): string {
  if (noisy) return "No chi-square: it takes counts without noise.";
  if (typeof table.chi_square !== "number" || typeof table.p_value !== "number") return "No chi-square: counts are hidden, or fewer than two groups have people.";
  const rough = typeof table.least_expected === "number" && table.least_expected < 5 ? ` (rough: a count of ${Number(table.least_expected.toPrecision(2))} was to be expected)` : "";
  const [ratio, low, high] = table.odds_ratio ?? [];
  const odds = ratio !== undefined && low !== undefined && high !== undefined ? ` Odds ratio ${four(ratio)}, 95 % interval ${four(low)} to ${four(high)}.` : "";
  return `Chi-square ${four(table.chi_square)} with ${table.degrees} ${table.degrees === 1 ? "degree" : "degrees"} of freedom, p = ${Number(table.p_value.toPrecision(3))}${rough}.${odds}`;
}

const four = (value: number): number => Number(value.toPrecision(4));

/** Whether any count came out below nothing, which noise does. */
export const below = (answer: Answer): boolean =>
  [...answer.columns.flatMap((one) => [one.present, one.missing, ...(one.groups ?? [])]), ...(answer.tables ?? []).flatMap((table) => table.cells.flat())].some(
    (one) => one !== null && one < 0,
  );

/** The answer as CSV, a number in each row; what is not told is empty. */
export function csvOf(query: Query, answer: Answer): string {
  const rows: (string | number | null | undefined)[][] = [["what", "column", "group", "by", "by_group", "value", "error"]];
  const columns = new Map(query.columns.map((one) => [one.name, one]));
  const error = answer.count_error || "";
  rows.push(["rows", "", "", "", "", answer.rows, error]);
  for (const one of answer.columns) {
    const column = columns.get(one.name) as QueryColumn;
    rows.push(["present", one.name, "", "", "", one.present, error]);
    rows.push(["missing", one.name, "", "", "", one.missing, error && Math.SQRT2 * error]);
    if (column.moments) rows.push(["mean", one.name, "", "", "", one.mean, one.mean_error || ""], ["sd", one.name, "", "", "", one.sd, one.sd_error || ""]);
    for (const found of one.quantiles ?? []) rows.push(["quantile", one.name, found.at, "", "", found.value, found.error]);
    for (const [group, people] of (one.groups ?? []).entries()) rows.push(["group", one.name, label(column, group), "", "", people, error]);
  }
  for (const table of answer.tables ?? []) {
    const [down, across] = [labels(columns.get(table.rows) as QueryColumn), labels(columns.get(table.columns) as QueryColumn)];
    for (const [row, cells] of table.cells.entries())
      for (const [at, people] of cells.entries()) rows.push(["cell", table.rows, down[row], table.columns, across[at], people, error]);
  }
  const cell = (value: string | number | null | undefined): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
}
