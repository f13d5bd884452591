import { describe, expect, it } from "vitest";
import { approvals, away, failed, failures, held, low, lowOnce, yesterday } from "./waiting";

const entry = (at: number, change: object) => ({ seq: at, at, change }) as never;
const run = (id: string, status: string, reason = "", position = 0) => ({ id, name: id, status, reason, position }) as never;

describe("what waits", () => {
  it("counts yesterday from midnight, as people do", () => {
    expect(yesterday(new Date(2026, 2, 1, 13, 30))).toBe(new Date(2026, 1, 28).getTime() / 1000);
  });

  it("has the runs that failed since then and have not been resumed, with when and why", () => {
    const when = failures(
      [
        entry(90, { kind: "run.ended", run: "a", outcome: "failed" }),
        entry(80, { kind: "run.ended", run: "b", outcome: "finished" }),
        entry(70, { kind: "run.ended", run: "a", outcome: "failed" }),
        entry(60, { kind: "run.ended", run: "c", outcome: "failed" }),
        entry(10, { kind: "run.ended", run: "d", outcome: "failed" }),
      ],
      50,
    );
    expect([...when]).toEqual([["a", 90], ["c", 60]]);
    const found = failed([run("a", "failed", "no room"), run("c", "training"), run("d", "failed")], when);
    expect(found.map((one) => [one.to, one.text, one.at, one.why])).toEqual([["/runs/a", "failed", 90, "no room"]]);
  });

  it("has queued and paused runs with their reasons", () => {
    expect(held([run("a", "queued", "st-mary serves 4 of 4 runs", 2), run("b", "paused"), run("c", "training")]).map((one) => [one.name, one.text, one.why])).toEqual([
      ["a", "waits in the queue, as number 2", "st-mary serves 4 of 4 runs"],
      ["b", "is paused", ""],
    ]);
  });

  it("has silos that are away, and those whose budget is low now, not those whose was", () => {
    const silo = (name: string, status: string) => ({ name, status, seen_at: 5, enrolled_at: 1 });
    expect(away([silo("a", "offline"), silo("b", "online"), silo("c", "invited")] as never).map((one) => one.name)).toEqual(["a", "c"]);
    const feed = [entry(2, { kind: "silo.budget_low", silo: "b" }), entry(1, { kind: "silo.budget_low", silo: "a" }), entry(0, { kind: "silo.budget_low", silo: "b" })];
    expect(lowOnce(feed)).toEqual(["a", "b"]);
    const detail = (name: string, budget_low: string[]) => ({ silo: silo(name, "online"), standing: { budget_low } });
    expect(low([detail("a", ["heart"]), detail("b", [])] as never).map((one) => one.text)).toEqual(["has little privacy budget left for heart"]);
  });

  it("has the versions that somebody else registered", () => {
    const version = (by: string, stage = "candidate") => ({ stage, version: { name: "heart", version: 3, registered: { by, at: 7 } } }) as never;
    expect(approvals([version("ada"), version("bo"), version("ada", "approved")], { name: "bo" })).toEqual([
      { key: "version heart 3", to: "/models/heart/3", name: "heart 3", text: "waits for your approval: ada registered it", at: 7 },
    ]);
  });
});
