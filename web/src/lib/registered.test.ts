import { describe, expect, it } from "vitest";
import type { Entry } from "../api/journal";
import type { Deployment, Version } from "../api/registered";
import { commandOf, wantedOf } from "../components/Register";
import { makersOf } from "../pages/run/Models";
import { effects, goesBack, inUse, promises, rows, waitsFor } from "./registered";

const deployment = (id: number, version: number, used_by: string[], said: Record<string, [string, string]> = {}): Deployment =>
  ({
    deployment: { id, name: "heart", version, group: "", silos: [], made: { by: "ada", at: 1 } },
    used_by,
    states: Object.entries(said).map(([silo, [state, reason]]) => ({ silo, at: 7, told: { deployment: id, state, reason } })),
  }) as Deployment;

describe("deployments", () => {
  const both = [deployment(2, 2, ["a"], { a: ["failed", "too low"] }), deployment(1, 1, ["b"], { a: ["active", ""] })];

  it("have a row for each silo that said something or is asked, the replaced ones marked", () => {
    expect(rows(both).map((row) => [row.deployment, row.silo, row.state, row.current, row.reason])).toEqual([
      [2, "a", "failed", true, "too low"],
      [1, "a", "active", false, ""],
      [1, "b", "silent", true, ""],
    ]);
  });

  it("say who is to use what, and what another one would change", () => {
    const now = inUse(both);
    expect([...now]).toEqual([["a", 2], ["b", 1]]);
    expect(effects(1, ["c", "b", "a"], now)).toEqual([
      "a goes back from version 2 to version 1.",
      "b is to use version 1 already.",
      "c has no version of it, and would get version 1.",
    ]);
    expect(effects(3, ["a"], now)).toEqual(["a goes on from version 2 to version 3."]);
    expect([goesBack(1, now), goesBack(2, now)]).toEqual([true, false]);
  });
});

describe("a version", () => {
  it("waits for whoever did not register it, while it is a candidate", () => {
    const view = (stage: string, by: string): Version => ({ stage, version: { registered: { by, at: 0 } } }) as Version;
    expect(waitsFor(view("candidate", "ada"), { name: "bo" })).toBe(true);
    expect(waitsFor(view("candidate", "bo"), { name: "bo" })).toBe(false);
    expect(waitsFor(view("approved", "ada"), { name: "bo" })).toBe(false);
    expect(waitsFor(view("candidate", "bo"), { name: "bo", approve_own: true })).toBe(true);
  });

  it("is registered of a round or of the best, as at a shell", () => {
    expect(wantedOf("heart", "7")).toEqual({ name: "heart", round: 7, best: null });
    expect(wantedOf("heart", "log_loss")).toEqual({ name: "heart", round: null, best: "log_loss" });
    expect(commandOf("r-1", "heart", "0")).toBe("septum model register r-1 --name heart --round 0");
    expect(commandOf("r-1", "", "roc_auc")).toBe("septum model register r-1 --name NAME --best roc_auc");
  });

  it("says what was promised of the records", () => {
    expect(promises({ masking: {} } as never)).toContain("sums alone; no differential privacy");
    expect(promises({ masking: null, privacy: { target_epsilon: 3, strength: "claimed" } } as never)).toContain("epsilon at most 3, claimed");
  });

  it("was made by the silos that reported in the last attempt of its round, the first one by those that prepared", () => {
    const closed = (round: number, reported: string[], stage = "train"): Entry => ({ seq: 1, at: 1, fact: { kind: "stage_closed", stage, round, attempt: 1, reported, missing: [] } }) as unknown as Entry;
    const entries = [closed(0, ["a", "b", "c"], "prepare"), closed(1, ["a"]), closed(1, ["a", "b"]), closed(1, ["c"], "evaluate"), closed(2, ["b"])];
    expect(makersOf(entries, 1)).toEqual(["a", "b"]);
    expect(makersOf(entries, 0)).toEqual(["a", "b", "c"]);
    expect(makersOf(entries, 9)).toBeUndefined();
  });
});
