import { describe, expect, it } from "vitest";
import type { Entry } from "../api/journal";
import type { Description, Plan } from "../api/queries";
import { differences } from "../pages/Compare";
import { invitationIn } from "../pages/SignIn";
import { bytes, duration, quoted, short } from "./format";
import { best, csv, curves, metricsCsv, smooth } from "./metrics";
import { command, fresh, like, planOf, problem } from "./plan";
import { courses, remaining } from "./silos";
import { words } from "./words";

const measured = (seq: number, round: number, value: number | null, silos: Record<string, number> = {}): Entry =>
  ({
    seq,
    at: seq,
    fact: {
      kind: "model_measured",
      round,
      metrics: { rows: 10, accuracy: 0.5, log_loss: 1, roc_auc: value },
      silos: Object.fromEntries(Object.entries(silos).map(([name, own]) => [name, { rows: 5, accuracy: own, log_loss: 1, roc_auc: own }])),
    },
  }) as Entry;

describe("curves", () => {
  it("hold one point a round, the last one measured, in order", () => {
    const found = curves([measured(1, 2, 0.6), measured(2, 1, 0.5), measured(3, 2, 0.7)], "roc_auc");
    expect(found.all.points).toEqual([[1, 0.5], [2, 0.7]]);
  });

  it("have no point where a metric was not told, and none of a silo in a masked run", () => {
    expect(curves([measured(1, 1, null)], "roc_auc").all.points).toEqual([]);
    expect(curves([measured(1, 1, 0.5)], "roc_auc").silos).toEqual([]);
    expect(curves([measured(1, 1, 0.5, { b: 0.4, a: 0.6 })], "accuracy").silos.map((one) => one.name)).toEqual(["a", "b"]);
  });

  it("are smoothed without a bend at their start", () => {
    expect(smooth([[0, 2], [1, 2], [2, 2]], 0.9).map(([, value]) => Number(value.toFixed(9)))).toEqual([2, 2, 2]);
    expect(smooth([[0, 1], [1, 3]], 0)).toEqual([[0, 1], [1, 3]]);
    // (1 * 0.5 * 0.5 + 3 * 0.5) / 0.75
    expect(smooth([[0, 1], [1, 3]], 0.5)[1]?.[1]).toBeCloseTo(7 / 3);
  });

  it("become CSV with a gap where one has no point", () => {
    expect(csv([{ name: "a,b", points: [[1, 0.5]] }, { name: "c", points: [[1, 1], [2, 2]] }])).toBe('round,"a,b",c\n1,0.5,1\n2,,2\n');
  });
});

describe("all metrics", () => {
  it("become CSV, of all silos together and of each that tells its own; a round measured again counts last", () => {
    const entries = [measured(1, 2, 0.5), measured(2, 1, null), measured(3, 2, 0.75, { bern: 0.25, basel: 0.5 })];
    const [names, ...rows] = metricsCsv([{ id: "r-1", entries }, { id: "r-2", entries: [measured(1, 1, 0.5)] }]).split("\n");
    expect(names).toBe("run,round,silo,roc_auc,accuracy,log_loss,rows");
    expect(rows.map((row) => row.split(",").slice(0, 4).join())).toEqual(["r-1,1,,", "r-1,2,,0.75", "r-1,2,basel,0.5", "r-1,2,bern,0.25", "r-2,1,,0.5", ""]);
  });
});

describe("the best model", () => {
  const models = [0.7, null, 0.9].map((value, round) => ({ round, metrics: value === null ? null : { rows: 1, accuracy: value, log_loss: value, roc_auc: value } }));
  it("is the one with the largest area, and the smallest loss", () => {
    expect(best(models, "roc_auc")?.round).toBe(2);
    expect(best(models, "log_loss")?.round).toBe(0);
    expect(best([], "roc_auc")).toBeUndefined();
  });
});

describe("silos in a run", () => {
  const facts = [
    { kind: "stage_opened", stage: "train", round: 1, attempt: 1, cohort: ["a"] },
    { kind: "silo_reported", silo: "a", stage: "train", round: 1, attempt: 1, durations_s: { train: 1.5, mask: 0.5 } },
    { kind: "silo_reported", silo: "a", stage: "evaluate", round: 1, attempt: 1 },
    { kind: "stage_opened", stage: "train", round: 2, attempt: 1, cohort: ["a"] },
    { kind: "stage_opened", stage: "train", round: 3, attempt: 1, cohort: ["a"] },
  ];
  const entries = facts.map((fact, index) => ({ seq: index + 1, at: 10 * index, fact })) as Entry[];
  it("are told by their training reports", () => {
    expect(courses(entries).get("a")).toEqual({ reports: 1, round: 1, workS: 2, at: 10 });
  });
  it("give an estimate of what remains from the second round on", () => {
    expect(remaining(entries, 2, 10)).toBe(160); // rounds opened at 0, 30 and 40 s: 20 s each, 8 to come
    expect(remaining(entries.slice(0, 4), 1, 10)).toBeUndefined();
  });
});

const app: Description = {
  name: "heart",
  version: "1.0.0",
  hyper: {
    properties: {
      rounds: { type: "integer", default: 50, minimum: 1, maximum: 1000 },
      lr: { type: "number", default: 0.001, minimum: 1e-6, maximum: 1 },
      optimizer: { type: "string", default: "adam", enum: ["adam", "sgd"] },
    },
  },
  columns: {},
  leaves: ["parameters"],
  presets: { quick: { rounds: 5 } },
  wheels: [],
  preinstalled: [],
};

describe("a new run", () => {
  it("is a whole plan, masked, with silos in order and everybody as the quorum", () => {
    const plan = planOf(fresh(app, ["b", "a"]), app, "sha256:0");
    expect(plan).toMatchObject({ silos: ["a", "b"], quorum: 2, rounds: 50, hyper: { lr: 0.001 }, masking: { max_weight: 100_000 } });
    expect(plan).not.toHaveProperty("privacy");
    expect(Object.keys(plan)).toEqual(expect.arrayContaining(["attempts", "clip_norm", "deadline_s", "early_stopping", "gather_s", "name", "seed", "strategy"]));
  });

  it("shows its masks and its privacy in the plan and in the command", () => {
    const draft = { ...fresh(app, ["a", "b"]), inspect: true, epsilon: 4, hyper: { rounds: 5, lr: 0.01, optimizer: "sgd" }, preset: "quick" };
    expect(planOf(draft, app, "sha256:0")).not.toHaveProperty("masking");
    expect(planOf(draft, app, "sha256:0").privacy?.target_epsilon).toBe(4);
    expect(command(draft, app, ["a", "b", "c"])).toBe(
      "septum run submit heart==1.0.0 --preset quick --set lr=0.01 --set optimizer=sgd --silos a,b --inspect --target-epsilon 4 --watch",
    );
  });

  it("has the silos' own models kept only where it has no masks", () => {
    const draft = { ...fresh(app, ["a", "b"]), keepSiloModels: true };
    expect(planOf(draft, app, "sha256:0")).not.toHaveProperty("keep_silo_models");
    expect(command(draft, app, ["a", "b"])).not.toContain("--keep-silo-models");
    const open = { ...draft, inspect: true };
    expect(planOf(open, app, "sha256:0").keep_silo_models).toBe(true);
    expect(like(planOf(open, app, "sha256:0"), "").keepSiloModels).toBe(true);
    expect(command(open, app, ["a", "b"])).toBe("septum run submit heart==1.0.0 --inspect --keep-silo-models --watch");
  });

  it("says who may drive the run only where it is not anybody", () => {
    const draft = fresh(app, ["a", "b"]);
    expect(planOf(draft, app, "sha256:0")).not.toHaveProperty("aggregator");
    const eu = { ...draft, aggregator: "eu" };
    const plan = planOf(eu, app, "sha256:0");
    expect(plan.aggregator).toBe("eu");
    expect(like(plan, "").aggregator).toBe("eu");
    expect(command(eu, app, ["a", "b"])).toContain("--aggregator eu");
  });

  it("like another one keeps what the form does not show", () => {
    const old = { ...planOf(fresh(app, ["a", "b"]), app, "sha256:0"), clip_norm: 3, early_stopping: { metric: "roc_auc", patience: 2, min_delta: 0 } } as Plan;
    const again = planOf(like(old, ""), app, "sha256:1", old);
    expect(again).toMatchObject({ clip_norm: 3, early_stopping: { patience: 2 }, app: { digest: "sha256:1" } });
  });

  it("names what the app's schema does not allow", () => {
    const field = app.hyper.properties;
    expect(problem(field.rounds as never, 0)).toBe("At least 1");
    expect(problem(field.rounds as never, 1.5)).toBe("A whole number is wanted");
    expect(problem(field.rounds as never, "")).toBe("A number is wanted");
    expect(problem(field.optimizer as never, "adagrad")).toBe("One of adam, sgd");
    expect(problem(field.lr as never, 0.1)).toBe("");
  });
});

describe("texts", () => {
  it("have units", () => {
    expect([bytes(664), bytes(1500), bytes(2_500_000_000)]).toEqual(["664 B", "1.5 kB", "2.5 GB"]);
    expect([duration(0.02), duration(3.21), duration(90), duration(600)]).toEqual(["20 ms", "3.2 s", "90 s", "10 min"]);
    expect(short(`blake3:${"ab".repeat(32)}`)).toBe("blake3:ababababab");
  });
  it("are safe in a shell", () => {
    expect(quoted("it's $HOME")).toBe(`'it'\\''s $HOME'`);
    expect(quoted("lr=0.1")).toBe("lr=0.1");
  });
  it("say bad news as such", () => {
    expect(words({ kind: "silo_left", silo: "a", reason: "gone" } as never)).toEqual({ text: "a left: gone", tone: "bad" });
    expect(words({ kind: "run_ended", outcome: "finished", reason: "" } as never).tone).toBe("good");
  });
});

it("two plans differ in what they differ, and in nothing else", () => {
  const one = planOf(fresh(app, ["a", "b"]), app, "sha256:0");
  const other = { ...one, hyper: { ...one.hyper, lr: 0.1 } };
  expect(differences([one, other])).toEqual([{ name: "hyper.lr", values: ["0.001", "0.1"] }]);
});

it("an invitation is behind the #, and half of one is none", () => {
  expect(invitationIn("#name=ada&password=once&ca=x")).toEqual({ name: "ada", password: "once" });
  expect(invitationIn("#name=ada")).toBeNull();
});
