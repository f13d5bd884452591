/** How does a filled-in question become a plan that asks silos for statistics, and which command asks the same? */
import type { Schemas } from "../api/client";
import type { Column, Description, Plan } from "../api/queries";
import { quoted } from "./format";

export type Query = Schemas["Query"];
export type QueryColumn = Schemas["QueryColumn"];

/** How a column is counted: not in groups (a column of codes by its codes), in so many of equal width, or up to limits. */
export type Grouping = "plain" | "histogram" | "cut";
export type Asked = { moments: boolean; quartiles: boolean; grouping: Grouping; bins: number; cuts: string };
export type Question = {
  project: string;
  silos: string[];
  columns: Record<string, Asked>;
  tables: (readonly [rows: string, columns: string])[];
  minCell: number;
  epsilon: number | "";
  delta: number;
  quorum: number;
  gatherS: number;
  deadlineS: number;
};

const QUARTILES = [0.25, 0.5, 0.75];
const NOISY_BINS = 64; // in which quantiles are looked for with noise, as the command line does
const MOST_GROUPS = 256;
export const MIN_CELL = 5;
export const DELTA = 1e-5;
const MASKING = { max_update: 10, max_weight: 2 ** 24, barrier_s: 20 };

/** What is asked of a column when it is chosen: of numbers with bounds a mean; without them groups are all there is. */
export const chosen = (column: Column): Asked => ({
  moments: bounded(column),
  quartiles: false,
  grouping: column.type === "code" || bounded(column) ? "plain" : "cut",
  bins: 10,
  cuts: "",
});

/** A question about nothing yet. */
export const question = (silos: string[], project: string): Question => ({
  project,
  silos,
  columns: {},
  tables: [],
  minCell: MIN_CELL,
  epsilon: "",
  delta: DELTA,
  quorum: 0,
  gatherS: 60,
  deadlineS: 600,
});

/** Whether a mean and quantiles can be asked of it: they take the contract's bounds. */
export const bounded = (column: Column): boolean => column.type !== "code" && column.min !== null && column.max !== null;

/** Whether a column has groups, so that it can be a side of a table. */
export const grouped = (column: Column, asked: Asked): boolean => column.type === "code" || asked.grouping !== "plain";

/** The limits of groups as they were written, such as 40/60; null where these are no increasing numbers. */
export function limits(text: string): number[] | null {
  const found = text.split(/[/;\s]+/).filter(Boolean).map(Number);
  return found.length > 0 && found.every((one, at) => Number.isFinite(one) && (at === 0 || one > (found[at - 1] as number))) ? found : null;
}

/** Where groups of equal width over the contract's range end; of whole numbers at whole ones. Halves go to the even one. */
export function edges(column: Column, bins: number): number[] {
  const [low, high] = [column.min ?? 0, column.max ?? 0];
  const found = Array.from({ length: bins - 1 }, (_, at) => low + ((high - low) / bins) * (at + 1));
  return column.type === "integer" ? found.map(even) : found;
}

function even(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

/** What cannot be asked of a column in this way; empty if it can. */
export function trouble(column: Column, asked: Asked): string {
  if (asked.grouping === "cut" && !limits(asked.cuts)) return "Say where groups end, such as 40/60";
  if (asked.grouping === "histogram") {
    if (!bounded(column)) return "The app gives it no least and no largest value: say where groups end";
    if (!Number.isInteger(asked.bins) || asked.bins < 2 || asked.bins > MOST_GROUPS) return `2 to ${MOST_GROUPS} groups`;
    const found = edges(column, asked.bins);
    if (found.some((one, at) => at > 0 && one <= (found[at - 1] as number))) return "So many groups would have no whole number in some: ask for fewer";
  }
  if (column.type !== "code" && !asked.moments && !asked.quartiles && asked.grouping === "plain") return "Choose what is asked of it";
  return "";
}

/** What cannot be asked for of small counts; empty if it can. As the coordinator has it (protocol/query.py). */
export function unfit(asked: Question): string {
  if (asked.epsilon === "") return asked.minCell === 1 || (asked.minCell >= 3 && asked.minCell <= 1_000) ? "" : "Counts of fewer than 3 to 1000 people can be hidden";
  if (!(asked.epsilon >= 0.01 && asked.epsilon <= 20)) return "Epsilon is 0.01 to 20";
  return asked.delta >= 1e-9 && asked.delta <= 0.01 ? "" : "Delta is 0.000000001 to 0.01";
}

/** The column in the query: what the app's data contract says of it, and what is asked. */
function columnOf(name: string, column: Column, asked: Asked, noisy: boolean): QueryColumn {
  const coded = column.type === "code";
  const codes = Object.entries(column.codes).map(([value, meaning]) => ({ value: Number(value), meaning }));
  const cuts = asked.grouping === "cut" ? (limits(asked.cuts) ?? []) : asked.grouping === "histogram" ? edges(column, asked.bins) : [];
  return {
    name,
    unit: coded ? "" : column.unit,
    whole: column.type === "integer",
    minimum: coded ? null : column.min,
    maximum: coded ? null : column.max,
    codes: coded ? codes.sort((one, other) => one.value - other.value) : [],
    moments: !coded && asked.moments,
    quantiles: !coded && asked.quartiles ? QUARTILES : [],
    cuts,
    ...(noisy ? { finest: NOISY_BINS } : {}),
  };
}

/** The query of a question about an app's columns. */
export function queryOf(asked: Question, app: Description): Query {
  const noisy = asked.epsilon !== "";
  const names = Object.keys(asked.columns).sort();
  return {
    columns: names.map((name) => columnOf(name, app.columns[name] as Column, asked.columns[name] as Asked, noisy)),
    tables: asked.tables.map(([rows, columns]) => ({ rows, columns })),
    min_cell: noisy ? 1 : asked.minCell,
    noise: asked.epsilon === "" ? null : { epsilon: asked.epsilon, delta: asked.delta },
  };
}

/** The plan to submit: a run that trains nothing. */
export function planOf(asked: Question, app: Description, digest: string): Plan {
  const silos = [...new Set(asked.silos)].sort();
  const plan: Record<string, unknown> = {
    name: `statistics of ${app.name}`,
    app: { name: app.name, version: app.version, digest },
    hyper: {},
    silos,
    rounds: 1,
    quorum: asked.quorum || silos.length,
    gather_s: asked.gatherS,
    deadline_s: asked.deadlineS,
    masking: MASKING,
    query: queryOf(asked, app),
  };
  return plan as Plan;
}

/** The command line that asks the same. */
export function command(asked: Question, app: Description, everybody: readonly string[]): string {
  const parts = ["septum stats run", `${app.name}==${app.version}`];
  const columns = Object.entries(asked.columns).sort(([one], [other]) => (one < other ? -1 : 1));
  const plain = columns.filter(([name, one]) => one.moments || (app.columns[name]?.type === "code" && one.grouping === "plain"));
  if (plain.length) parts.push(`--columns ${plain.map(([name]) => name).join(",")}`);
  for (const [name, one] of columns) {
    if (one.quartiles) parts.push(`--quantiles ${name}`);
    if (one.grouping === "histogram") parts.push(`--histogram ${name}:${one.bins}`);
    if (one.grouping === "cut") parts.push(`--cut ${quoted(`${name}:${(limits(one.cuts) ?? []).join("/") || "LIMITS"}`)}`);
  }
  for (const pair of asked.tables) parts.push(`--table ${pair.join(",")}`);
  if (!columns.length) parts.push("--columns A,B");
  if (asked.epsilon !== "") parts.push(`--epsilon ${asked.epsilon}`);
  else if (asked.minCell !== MIN_CELL) parts.push(`--min-cell ${asked.minCell}`);
  if (asked.epsilon !== "" && asked.delta !== DELTA) parts.push(`--delta ${asked.delta}`);
  if (asked.project) parts.push(`--project ${asked.project}`);
  const silos = [...asked.silos].sort();
  if (silos.join() !== [...everybody].sort().join()) parts.push(`--silos ${silos.join(",")}`);
  if (asked.quorum) parts.push(`--quorum ${asked.quorum}`);
  if (asked.gatherS !== 60) parts.push(`--gather ${asked.gatherS}`);
  if (asked.deadlineS !== 600) parts.push(`--deadline ${asked.deadlineS}`);
  return parts.join(" ");
}

/** How many shares fall to a question with noise: each number is worse by the root of them. As in docs/decisions/0019. */
export function shares(query: Query): number {
  const own = query.columns.map((one) => 1 + (one.moments ? 2 : 0) + (one.quantiles?.length ? 1 : 0) + (one.cuts?.length || one.codes?.length ? 1 : 0));
  return 1 + own.reduce((sum, one) => sum + one, 0) + (query.tables?.length ?? 0);
}
