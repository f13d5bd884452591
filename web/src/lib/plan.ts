/** How does a filled-in form become a plan, and which command says the same? */
import type { Schemas } from "../api/client";
import type { Description, Plan } from "../api/queries";
import { quoted } from "./format";

export const ANY = "any"; // every coordinator may drive the run

export type Value = string | number | boolean;
export type Draft = {
  name: string;
  project: string;
  silos: string[];
  preset: string;
  hyper: Record<string, Value>;
  strategy: string;
  settings: Record<string, number>;
  quorum: number;
  inspect: boolean;
  keepSiloModels: boolean; // counts with `inspect` alone
  epsilon: number | "";
  gatherS: number;
  deadlineS: number;
  attempts: number;
  aggregator: string;
};

/** Strategies that the coordinator has of its own; those that see each silo's update need a run without masks. */
export const STRATEGIES: Record<string, { open: boolean }> = {
  fedavg: { open: false },
  fedprox: { open: false },
  fedavgm: { open: false },
  fedadagrad: { open: false },
  fedadam: { open: false },
  fedyogi: { open: false },
  median: { open: true },
  "trimmed-mean": { open: true },
  krum: { open: true },
  "multi-krum": { open: true },
  "geometric-median": { open: true },
  "norm-clipping": { open: true },
};

export const MASKING = { max_update: 10, max_weight: 100_000, barrier_s: 20 };

/** What an app's schema says that is so unless somebody says otherwise. */
export function defaults(app: Description, preset = ""): Record<string, Value> {
  const own = Object.entries(app.hyper.properties).map(([name, field]) => [name, field.default ?? ""] as const);
  return { ...Object.fromEntries(own), ...(app.presets[preset] ?? {}) };
}

/** A draft of a new run. */
export function fresh(app: Description, silos: string[]): Draft {
  return {
    name: app.name,
    project: "",
    silos,
    preset: "",
    hyper: defaults(app),
    strategy: "fedavg",
    settings: {},
    quorum: 0,
    inspect: false,
    keepSiloModels: false,
    epsilon: "",
    gatherS: 60,
    deadlineS: 600,
    attempts: 3,
    aggregator: ANY,
  };
}

/** A draft like a run that there was. */
export function like(plan: Plan, project: string): Draft {
  return {
    name: plan.name,
    project,
    silos: [...plan.silos],
    preset: "",
    hyper: { ...plan.hyper },
    strategy: plan.strategy?.name ?? "fedavg",
    settings: { ...(plan.strategy?.settings ?? {}) },
    quorum: plan.quorum === plan.silos.length ? 0 : (plan.quorum ?? 0),
    inspect: !plan.masking,
    keepSiloModels: plan.keep_silo_models ?? false,
    epsilon: plan.privacy?.target_epsilon ?? "",
    gatherS: plan.gather_s ?? 60,
    deadlineS: plan.deadline_s ?? 600,
    attempts: plan.attempts ?? 3,
    aggregator: plan.aggregator ?? ANY,
  };
}

/** What is wrong with a value, by the app's schema; empty if nothing is. */
export function problem(field: Description["hyper"]["properties"][string], value: Value | undefined): string {
  if (field.type === "integer" || field.type === "number") {
    if (typeof value !== "number" || !Number.isFinite(value)) return "A number is wanted";
    if (field.type === "integer" && !Number.isInteger(value)) return "A whole number is wanted";
    if (field.minimum !== undefined && value < field.minimum) return `At least ${field.minimum}`;
    if (field.maximum !== undefined && value > field.maximum) return `At most ${field.maximum}`;
  }
  if (field.enum && !field.enum.includes(value as never)) return `One of ${field.enum.join(", ")}`;
  return "";
}

/** The plan to submit. What the draft does not speak of is as in `old`, the plan that it was made like. */
export function planOf(draft: Draft, app: Description, digest: string, old?: Plan): Plan {
  const silos = [...new Set(draft.silos)].sort();
  const privacy: Schemas["Privacy"] | null =
    draft.epsilon === ""
      ? null
      : {
          clip: 1,
          batch: 64,
          steps: 1,
          learning_rate: 0.2,
          mode: "record_dp",
          strength: "enforced",
          delta: null,
          ...(old?.privacy ?? {}),
          target_epsilon: draft.epsilon,
        };
  const plan: Record<string, unknown> = {
    name: draft.name || app.name,
    app: { name: app.name, version: app.version, digest },
    hyper: draft.hyper,
    silos,
    rounds: Number(draft.hyper.rounds),
    seed: Number(draft.hyper.seed ?? 0),
    quorum: draft.quorum || silos.length,
    strategy: { name: draft.strategy, settings: draft.settings },
    gather_s: draft.gatherS,
    deadline_s: draft.deadlineS,
    attempts: draft.attempts,
    ...(draft.aggregator === ANY ? {} : { aggregator: draft.aggregator }),
    early_stopping: old?.early_stopping ?? null,
    clip_norm: old?.clip_norm ?? null,
    ...(draft.inspect ? {} : { masking: old?.masking ?? MASKING }),
    ...(draft.inspect && draft.keepSiloModels ? { keep_silo_models: true } : {}),
    ...(privacy ? { privacy } : {}),
    ...(old?.vote && !draft.inspect ? { vote: old.vote } : {}),
    ...(old?.private
      ? { private: old.private }
      : app.private?.length
        ? { private: { parameters: [...app.private].sort(), start: "fresh", personalise: 0 } }
        : {}),
  };
  return plan as Plan;
}

/** The command line that submits the same. */
export function command(draft: Draft, app: Description, everybody: readonly string[]): string {
  const parts = ["septum run submit", `${app.name}==${app.version}`];
  const base = defaults(app, draft.preset);
  if (draft.name && draft.name !== app.name) parts.push(`--name ${quoted(draft.name)}`);
  if (draft.project) parts.push(`--project ${draft.project}`);
  if (draft.preset) parts.push(`--preset ${quoted(draft.preset)}`);
  for (const [name, value] of Object.entries(draft.hyper))
    if (value !== base[name]) parts.push(`--set ${quoted(`${name}=${value}`)}`);
  const chosen = [...draft.silos].sort();
  if (chosen.join() !== [...everybody].sort().join()) parts.push(`--silos ${chosen.join(",")}`);
  if (draft.quorum) parts.push(`--quorum ${draft.quorum}`);
  if (draft.strategy !== "fedavg") parts.push(`--strategy ${draft.strategy}`);
  for (const [name, value] of Object.entries(draft.settings)) parts.push(`--strategy-set ${name}=${value}`);
  if (draft.inspect) parts.push("--inspect");
  if (draft.inspect && draft.keepSiloModels) parts.push("--keep-silo-models");
  if (draft.epsilon !== "") parts.push(`--target-epsilon ${draft.epsilon}`);
  if (draft.gatherS !== 60) parts.push(`--gather ${draft.gatherS}`);
  if (draft.deadlineS !== 600) parts.push(`--deadline ${draft.deadlineS}`);
  if (draft.attempts !== 3) parts.push(`--attempts ${draft.attempts}`);
  if (draft.aggregator !== ANY) parts.push(`--aggregator ${draft.aggregator}`);
  return [...parts, "--watch"].join(" ");
}
