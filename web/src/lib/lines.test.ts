import { describe, expect, it } from "vitest";
import { after, before, dropped, type Line, wantedIn } from "./lines";

const line = (seq: number, more: Partial<Line> = {}): Line => ({ seq, silo: "basel", at: seq, level: "info", origin: "agent", round: 1, text: `line ${seq}`, ...more });
const numbers = ({ lines }: { lines: readonly Line[] }): number[] => lines.map((one) => one.seq);

describe("lines of a log", () => {
  it("are the newest, and it is known that others were before them", () => {
    const two = { lines: [line(1), line(2)], earlier: false };
    expect(after(two, [line(3)], 3)).toEqual({ lines: [line(1), line(2), line(3)], earlier: false });
    const cut = after(two, [line(3), line(4)], 3);
    expect(numbers(cut)).toEqual([2, 3, 4]);
    expect(cut.earlier).toBe(true);
  });

  it("have those before them in front, none twice, and an end", () => {
    const some = { lines: [line(5), line(6)], earlier: true };
    expect(numbers(before(some, [line(3), line(4), line(5)], true))).toEqual([3, 4, 5, 6]);
    expect(before(some, [line(4)], false).earlier).toBe(false);
  });

  it("that were dropped are counted", () => {
    const gap = (text: string) => dropped(line(1, { origin: "coordinator", level: "warning", text }));
    expect(gap("17 lines of this silo are missing here")).toBe("17 lines of basel were dropped");
    expect(gap("1 lines of this silo are missing here")).toBe("1 line of basel was dropped");
    expect(dropped(line(1, { silo: "", origin: "coordinator", text: "combined stage=train round=2" }))).toBeNull();
    expect(gap("something else")).toBe("basel: something else");
    expect(dropped(line(1, { text: "17 lines of this silo are missing here" }))).toBeNull();
  });

  it("are looked for as the address says, as far as it makes sense", () => {
    expect(wantedIn(new URLSearchParams("silo=basel&level=error&round=3&text=loss"))).toEqual({ silo: "basel", level: "error", round: "3", text: "loss" });
    expect(wantedIn(new URLSearchParams("level=loud&round=last"))).toEqual({ silo: "", level: "info", round: "", text: "" });
  });
});
