/** What do the curves show? The metrics of each model of a run, read from its journal. */
import type { Entry } from "../api/journal";
import type { Schemas } from "../api/client";

export type Metrics = Schemas["Metrics"];
export type MetricName = "roc_auc" | "accuracy" | "log_loss";
export const METRICS: Record<MetricName, { title: string; larger: boolean }> = {
  roc_auc: { title: "ROC-AUC", larger: true },
  accuracy: { title: "Accuracy", larger: true },
  log_loss: { title: "Log loss", larger: false },
};

export type Point = readonly [round: number, value: number];
export type Curve = { name: string; points: Point[] };

/** The curve of a metric over all silos, and of each silo that tells its own. A round measured again counts last. */
export function curves(entries: readonly Entry[], metric: MetricName): { all: Curve; silos: Curve[] } {
  const all = new Map<number, number>();
  const silos = new Map<string, Map<number, number>>();
  for (const { fact } of entries) {
    if (fact.kind !== "model_measured") continue;
    const value = fact.metrics[metric];
    if (typeof value === "number") all.set(fact.round, value);
    for (const [name, own] of Object.entries(fact.silos)) {
      const told = own[metric];
      if (typeof told !== "number") continue;
      const found = silos.get(name) ?? new Map<number, number>();
      silos.set(name, found.set(fact.round, told));
    }
  }
  const curve = (name: string, found: Map<number, number>): Curve => ({
    name,
    points: [...found].sort(([one], [other]) => one - other),
  });
  return {
    all: curve("all silos", all),
    silos: [...silos].sort(([one], [other]) => one.localeCompare(other)).map(([name, found]) => curve(name, found)),
  };
}

/** Every metric of every model, as CSV: a row for all silos together, and one for each silo that tells its own. A round measured again counts last. */
export function metricsCsv(runs: readonly { id: string; entries: readonly Entry[] }[]): string {
  const rows = runs.flatMap(({ id, entries }) => {
    const rounds = new Map<number, [silo: string, metrics: Partial<Metrics>][]>();
    for (const { fact } of entries) if (fact.kind === "model_measured") rounds.set(fact.round, [["", fact.metrics], ...Object.entries(fact.silos).sort(([one], [other]) => one.localeCompare(other))]);
    return [...rounds].sort(([one], [other]) => one - other).flatMap(([round, measured]) => measured.map(([silo, metrics]) => [id, round, silo, ...COLUMNS.map((name) => metrics[name] ?? "")].join(",")));
  });
  return [["run", "round", "silo", ...COLUMNS].join(","), ...rows, ""].join("\n");
}

const COLUMNS = ["roc_auc", "accuracy", "log_loss", "rows"] as const;

/** The model with the best value of a metric. */
export function best<T extends { metrics: Metrics | null }>(models: readonly T[], metric: MetricName): T | undefined {
  const sign = METRICS[metric].larger ? 1 : -1;
  let found: T | undefined;
  for (const model of models) {
    const value = model.metrics?.[metric];
    const least = found?.metrics?.[metric];
    if (typeof value === "number" && (typeof least !== "number" || sign * value > sign * least)) found = model;
  }
  return found;
}

/** An exponential moving average, corrected for its start; `weight` 0 leaves the points as they are. */
export function smooth(points: readonly Point[], weight: number): Point[] {
  let kept = 0;
  let norm = 0;
  return points.map(([round, value]) => {
    kept = kept * weight + value * (1 - weight);
    norm = norm * weight + (1 - weight);
    return [round, kept / norm] as const;
  });
}

/** Curves as CSV: one row a round. */
export function csv(found: readonly Curve[]): string {
  const rounds = [...new Set(found.flatMap((curve) => curve.points.map(([round]) => round)))].sort((a, b) => a - b);
  const maps = found.map((curve) => new Map(curve.points));
  const cell = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = rounds.map((round) => [round, ...maps.map((map) => map.get(round) ?? "")].join(","));
  return [["round", ...found.map((curve) => cell(curve.name))].join(","), ...rows, ""].join("\n");
}
