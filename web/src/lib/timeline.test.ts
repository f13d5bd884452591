import { describe, expect, it } from "vitest";
import { spoken } from "../pages/run/doing";
import { tabOf } from "../pages/run/Run";
import { loads, partOf } from "../pages/run/System";
import { barAt } from "../pages/run/Timeline";
import { type Attempt, drawn, lanes, moved, overlapping, ticks, whole, worstFirst, zoomed } from "./timeline";

/** A round of ten seconds of two silos: a trains for `slow` seconds, b for two; then the coordinator combines. */
export function round(number: number, slow = 2, problem = "", under_way = false): Attempt {
  const start = 1000 + 10 * number;
  const span = (doing: string, at: number, duration_s: number) => ({ doing, start: at, duration_s });
  return {
    stage: "train",
    round: number,
    attempt: 1,
    start,
    duration_s: 10,
    under_way,
    problem: "",
    coordinator: [span("wait", start, 9), span("aggregate", start + 9, 1)],
    silos: [
      { silo: "a", own_s: slow, slow: slow > 4, problem: "", spans: [span("train", start, slow), span("wait", start + slow, 9 - slow)] },
      { silo: "b", own_s: 2, slow: false, problem, spans: [span("train", start, 2), { ...span("wait", start + 2, 7), problem }] },
    ],
  } as Attempt;
}

describe("lanes", () => {
  it("begin with the coordinator; a silo with a problem is before a slow one, and that before the others", () => {
    expect(lanes([round(1, 8), round(2)]).map((lane) => lane.name)).toEqual(["coordinator", "a", "b"]);
    expect(lanes([round(1, 8), round(2, 2, "no memory")]).map((lane) => lane.name)).toEqual(["coordinator", "b", "a"]);
  });

  it("of 150 rounds draw no more than there are pixels, and the problem among them", () => {
    const many = Array.from({ length: 150 }, (_, index) => round(index, 2, index === 77 ? "no memory" : ""));
    const lane = lanes(many).find((one) => one.name === "b");
    const shown = drawn(lane?.bars ?? [], whole(many), 100);
    expect(lane?.bars).toHaveLength(300);
    expect(shown.length).toBeLessThanOrEqual(100);
    expect(shown.filter((bar) => bar.problem)).toHaveLength(1);
  });

  it("draw what reaches into the part that is seen, and nothing else", () => {
    const bars = lanes([round(1), round(2), round(3)])[1]?.bars ?? [];
    expect(drawn(bars, [1023, 1025], 500).map((bar) => [bar.attempt.round, bar.span.doing])).toEqual([[2, "wait"]]);
  });
});

describe("zoom", () => {
  const all = [0, 100] as const;

  it("keeps the moment under the pointer where it is", () => {
    const [from, to] = zoomed(all, all, 0.5, 20);
    expect([from, to]).toEqual([10, 60]);
    expect((20 - from) / (to - from)).toBeCloseTo(0.2);
  });

  it("leaves the run at neither end, and shows no more than all of it", () => {
    expect(zoomed([10, 60], all, 10)).toEqual([0, 100]);
    expect(moved([10, 60], all, -1)).toEqual([0, 50]);
    expect(moved([10, 60], all, 5)).toEqual([50, 100]);
  });

  it("writes round numbers below", () => {
    expect(ticks([1000, 1010], 1000, 5)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(ticks([1000.05, 1000.45], 1000, 5)).toEqual([0.1, 0.2, 0.3, 0.4]);
  });
});

describe("rounds", () => {
  it("that are under way come first, then failed ones, then slow ones", () => {
    const order = worstFirst([round(1), round(2, 8), round(3, 2, "no memory"), round(4), round(5, 2, "", true)]);
    expect(order.map((one) => one.round)).toEqual([5, 3, 2, 1, 4]);
  });

  it("are those of the part that is seen", () => {
    expect(overlapping([round(1), round(2), round(3)], [1021, 1029]).map((one) => one.round)).toEqual([2]);
  });
});

describe("a span", () => {
  it("is found again by its silo and its beginning, and says how long it took", () => {
    const found = barAt([round(1), round(2, 8)], "a", 1020.000001);
    expect(found && spoken(found)).toBe("a, round 2: trains, 8.0 s, slower than the others");
    expect(barAt([round(1)], "a", 999)).toBeUndefined();
    const brief = barAt([round(1, 0.00002)], "a", 1010.00002);
    expect(brief?.span.doing).toBe("wait"); // and not the training that began 20 microseconds before
  });

  it("goes along to the tabs that are about time, and to no other", () => {
    const query = new URLSearchParams("silo=a&round=2&from=1.00&page=3");
    expect(tabOf("r-1", "timeline", "logs", query)).toBe("/runs/r-1/logs?silo=a&round=2&from=1.00");
    expect(tabOf("r-1", "timeline", "models", query)).toBe("/runs/r-1/models");
    expect(tabOf("r-1", "overview", "logs", query)).toBe("/runs/r-1/logs");
    expect(tabOf("r-1", "logs", "overview", query)).toBe("/runs/r-1");
  });

  it("cuts the machines' readings to its time, with those that were under way", () => {
    const point = (at: number) => ({ at: 1000 + at, span_s: 5, count: 1, mean: { cpu: at }, highest: {} });
    const series = [{ silo: "a", points: [point(0), point(5), point(10), point(15)] }] as never;
    expect(loads(series, "cpu", 1000, partOf(new URLSearchParams("from=7&to=11")))[0]?.points).toEqual([[5, 5], [10, 10]]);
    expect(loads(series, "cpu", 1000, partOf(new URLSearchParams("from=9&to=2")))[0]?.points).toHaveLength(4);
  });
});
