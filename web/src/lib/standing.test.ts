import { expect, it } from "vitest";
import type { Fact } from "../api/journal";
import type { Run } from "../api/queries";
import { advanced } from "./standing";

const silo = (name: string, awaited: boolean, problem = "") => ({ name, presence: "active", awaited, problem });
const run = { status: "training", round: 3, attempt: 1, finished_rounds: 2, model: "blake3:2", metrics: null, silos: [silo("a", true), silo("b", true, "was too slow")] } as unknown as Run;
const of = (...facts: object[]): Run | null => advanced(run, facts as Fact[]);
const reported = (name: string, round = 3, attempt = 1) => ({ kind: "silo_reported", silo: name, stage: "train", round, attempt, durations_s: {} });
const opened = (stage: string, round: number, attempt = 1) => ({ kind: "stage_opened", stage, round, attempt, cohort: ["a"] });
const metrics = { rows: 9, roc_auc: 0.75, accuracy: 0.5, log_loss: 1 };

it("a whole round is followed without asking: reports, the model, its metrics, the next round", () => {
  const found = of(
    reported("a"),
    reported("b"),
    { kind: "stage_closed", stage: "train", round: 3, attempt: 1, reported: ["a", "b"], missing: [] },
    { kind: "model_made", round: 3, model: { digest: "blake3:3", size_bytes: 8 } },
    opened("evaluate", 3),
    { kind: "model_measured", round: 3, metrics, silos: {}, votes: null },
    opened("train", 4),
  );
  expect(found).toMatchObject({ status: "training", round: 4, finished_rounds: 3, model: "blake3:3", metrics });
  expect(found?.silos).toEqual([silo("a", true), silo("b", false)]); // who reports has no problem any more
});

it("who has reported is not waited for, and who was not asked neither", () => {
  expect(of(reported("b"))?.silos.map((one) => one.awaited)).toEqual([true, false]);
  expect(of(opened("evaluate", 3))).toMatchObject({ status: "evaluating", silos: [{ awaited: true }, { awaited: false }] });
});

it("what is told of an earlier round or attempt takes nothing back", () => {
  expect(of(opened("train", 2), reported("a", 2), { kind: "model_made", round: 1, model: { digest: "blake3:1", size_bytes: 8 } })).toEqual(run);
  expect(advanced({ ...run, attempt: 2 }, [opened("train", 3, 1), reported("a", 3, 1)] as Fact[])).toEqual({ ...run, attempt: 2 });
});

it.each(["run_ended", "run_paused", "silo_left", "attempt_failed", "model_lost"])("after %s the run is asked for, whatever else is told", (kind) => {
  expect(of({ kind }, reported("a"))).toBeNull();
  expect(of(reported("a"), { kind })).toBeNull();
});

it("a vote may take a model back, and preparing has no round: the run is asked for", () => {
  expect(of({ kind: "model_measured", round: 3, metrics, silos: {}, votes: { accepts: 1, voters: 2, down: "too few" } })).toBeNull();
  expect(of(opened("prepare", 0))).toBeNull();
});
