import { expect, it } from "vitest";
import { sought } from "./goals";

it("a kind before the name narrows what is looked for, and is a name like any other when it stands alone", () => {
  expect(sought("  heart ")).toEqual({ kind: "", text: "heart" });
  expect(sought("Run heart disease")).toEqual({ kind: "run", text: "heart disease" });
  expect(sought("silo ")).toEqual({ kind: "silo", text: "" });
  expect(sought("run")).toEqual({ kind: "", text: "run" });
  expect(sought("")).toEqual({ kind: "", text: "" });
});
