import { expect, it } from "vitest";
import { commandOf } from "./Activity";

it("the command beside an empty page asks for the same", () => {
  const all = { after: "", project: "", run: "", silo: "", kind: [] };
  expect(commandOf(all)).toBe("septum log events");
  expect(commandOf({ ...all, silo: "basel", kind: ["run", "silo.offline"] })).toBe("septum log events --silo basel --kind run --kind silo.offline");
});
