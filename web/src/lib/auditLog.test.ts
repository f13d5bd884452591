import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import kept from "../test/audit.json";
import { aboutOf, isBad, KINDS, plain } from "./audited";
import { type AuditLog, check, type Entry, written } from "./auditLog";

type Kept = typeof kept;
const log = ({ lines, heads, countersignatures }: Kept): AuditLog => ({
  heads,
  entries: (async function* (): AsyncGenerator<Entry> {
    yield* lines;
    await Promise.resolve();
  })(),
  witnesses: () => Promise.resolve(countersignatures),
});
const changed = (change: (copy: Kept) => void): AuditLog => {
  const copy = structuredClone(kept);
  change(copy);
  return log(copy);
};
const first = <T>(of: T[], index = 0): T => of[index] as T;

describe("an audit log", () => {
  it("that the coordinator wrote holds, with its heads and countersignatures", async () => {
    const held = await check(log(kept));
    expect({ ...held, silos: [...held.silos], newest: held.newest?.head.size }).toEqual({ events: 7, heads: 2, newest: 6, silos: [["basel", 6]], signatures: true });
  });

  it.each<[string, (copy: Kept) => void, RegExp]>([
    ["an event was changed", ({ lines }) => (first(lines, 1).event = first(lines, 1).event.replace("ada", "eve")), /^audit event 2 does not hold: its hash/],
    ["an event was left out", ({ lines }) => lines.splice(3, 1), /^audit event 4 does not hold: another one/],
    ["the end was cut off", ({ lines }) => lines.splice(4), /ends with event 4, and a head of 6 events/],
    ["the tree is another one", ({ heads }) => (first(heads).head.root = first(heads, 1).head.root), /signature under the head of 3 events/],
    ["a head's signature is another one's", ({ heads }) => (first(heads, 1).signature = first(heads).signature), /signature under the head of 6 events/],
    ["a head is signed by another key", ({ heads, countersignatures }) => (first(heads).key = first(countersignatures).key), /^the head of 3 events is signed by/],
    ["a silo signed something else", ({ countersignatures }) => (first(countersignatures, 1).signature = first(countersignatures).signature), /^what silo basel signed is not the head of 6/],
  ])("does not hold where %s", async (_, change, says) => {
    await expect(check(changed(change))).rejects.toThrow(says);
  });

  it.each(["root", "chain"])("whose coordinator has signed another %s does not hold, though its signature does", async (what) => {
    const forged = first(kept.forged, what === "root" ? 0 : 1);
    await expect(check(changed(({ heads }) => (heads[1] = forged)))).rejects.toThrow("the head that was signed over 6 events is not that of the events here");
  });

  it("is a file line by line: heads, events to the byte, countersignatures, and how many", async () => {
    const lines: string[] = [];
    for await (const line of written(log(kept))) lines.push(line);
    expect(lines[0]).toBe(`{"key":"${first(kept.heads).key}","name":"coordinator","septum-audit":1}\n`);
    expect(lines.slice(3, 10)).toEqual(kept.lines.map(({ event, hash }) => `{"event":${event},"hash":"${hash}"}\n`));
    expect(lines.at(-1)).toBe('{"end":{"countersignatures":2,"events":7,"heads":2}}\n');
  });
});

describe("an event", () => {
  const told = readFileSync("../docs/reference/events.md", "utf8");

  it("of each kind that is documented can be looked for, in the same words", () => {
    const [, own = ""] = told.split("## The audit log");
    const table = [...(own.split("A silo's own log")[0] ?? "").matchAll(/^\| `([a-z_.]+)` \| (.*) \|$/gm)].map(([, kind = "", says = ""]) => ({ kind, says }));
    expect(table.length).toBeGreaterThan(15);
    for (const { kind, says } of table) {
      expect(KINDS).toContain(kind);
      expect(plain({ seq: 1, at: "", kind })).toBe(says.replaceAll("`", ""));
    }
  });

  it("is told in words, with what it is about, and what is bad is marked", () => {
    const ended = { seq: 4, at: "", kind: "run.ended", about: { run: "r-1", outcome: "failed", reason: "too few silos" } };
    expect(plain(ended)).toBe("The run r-1 failed: too few silos.");
    expect(aboutOf(ended)).toBe("outcome failed, reason too few silos, run r-1");
    expect(isBad(ended)).toBe(true);
    expect(aboutOf({ seq: 1, at: "", kind: "model.made", about: { round: "1", model: `blake3:${"ab".repeat(32)}` } })).toBe("model blake3:ababababab, round 1");
    expect(plain({ seq: 1, at: "", kind: "person.roles", about: { person: "bo", roles: "viewer auditor" } })).toBe("bo is viewer, auditor now.");
    expect(plain({ seq: 1, at: "", kind: "of.tomorrow" })).toBe("of.tomorrow");
  });
});
