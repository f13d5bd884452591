import { describe, expect, it } from "vitest";
import type { Change } from "../api/feed";
import { happened, isBad, KINDS, NOUNS } from "./happened";

const FULL = { by: "ada", run: "r-1", silo: "basel", app: "heart==1.0.0", group: "cardio", project: "hearts", person: "bob", organisation: "st-marys", model: "heart 3", preset: "quick", roles: ["viewer"], outcome: "failed", reason: "why" };
const text = (change: object, apps = new Map<string, string>()): string =>
  happened(change as Change, apps)
    .map((part) => (typeof part === "string" ? part : part.text))
    .join("");
const links = (change: object, apps = new Map<string, string>()): string[] =>
  happened(change as Change, apps).flatMap((part) => (typeof part === "string" ? [] : [part.to]));

describe("a change", () => {
  it("of every kind is a sentence", () => {
    for (const kind of KINDS) expect(text({ ...FULL, kind }), kind).toMatch(/^[\w-]+ .*[^.]\.$/);
    expect(NOUNS).toContain("organisation");
  });

  it("is told with its reason, and without one where there is none", () => {
    expect(text({ kind: "run.ended", run: "r-1", outcome: "failed", reason: "too few silos" })).toBe("The run r-1 failed: too few silos.");
    expect(text({ kind: "run.ended", run: "r-1", outcome: "finished", reason: "" })).toBe("The run r-1 has finished.");
    expect(text({ kind: "person.roles", person: "bob", roles: [] })).toBe("bob has no role now.");
  });

  it("leads to what it is about", () => {
    expect(links({ kind: "run.refused", run: "r-1", silo: "basel" })).toEqual(["/silos/basel", "/runs/r-1"]);
    expect(links({ kind: "model.deployed", run: "r-1", model: "heart 3" })).toEqual(["/models/heart/3"]);
    expect(links({ kind: "model.registered", run: "r-1", model: "heart" })).toEqual(["/runs/r-1", "/models"]);
    expect(links({ kind: "project.closed", project: "hearts" })).toEqual(["/runs?project=hearts"]);
  });

  it("leads to a package while it is there", () => {
    const pushed = { kind: "app.pushed", app: "heart==1.0.0" };
    expect(links(pushed)).toEqual([]);
    expect(links(pushed, new Map([["heart==1.0.0", "blake3:00"]]))).toEqual(["/apps/blake3:00"]);
  });

  it("is told by its name if it is newer than the page", () => {
    expect(text({ kind: "moon.risen" })).toBe("moon.risen");
  });

  it("is bad news when something failed, or stopped by itself", () => {
    const bad = (change: object): boolean => isBad(change as Change);
    expect(bad({ kind: "run.paused", by: "", reason: "too few silos" })).toBe(true);
    expect(bad({ kind: "run.paused", by: "ada" })).toBe(false);
    expect(bad({ kind: "run.ended", outcome: "failed" })).toBe(true);
    expect(bad({ kind: "run.ended", outcome: "stopped" })).toBe(false);
  });
});
