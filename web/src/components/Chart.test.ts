import { DEFAULT_THEME } from "@mantine/core";
import { LineChart } from "echarts/charts";
import { GridSimpleComponent } from "echarts/components";
import { init, use as register } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { expect, it } from "vitest";
import { type Look, optionOf, rowsOf } from "./chartOption";
import { REST } from "./chartRest";

it("the names of curves take as many rows as they need, so that none lies over the axis", () => {
  const silos = ["cleveland", "hungary", "long-beach-va", "switzerland"];
  expect([rowsOf(silos, 1200), rowsOf(silos, 320), rowsOf(silos, 90)]).toEqual([1, 2, 4]);
  expect(rowsOf([], 300)).toBe(1);
});

it("a chart that was made before the rest came goes on drawing, and knows nothing of it", () => {
  const look = (rounds: number, whole: boolean): Look => ({
    curves: ["auc", "loss"].map((name) => ({ name, points: Array.from({ length: rounds }, (_, round) => [round, 0.5]) })),
    weight: 0,
    log: false,
    digits: 4,
    axis: "round",
    across: 400,
    dark: false,
    theme: DEFAULT_THEME,
    whole,
  });
  const made = () => init(null, null, { renderer: "svg", ssr: true, width: 400, height: 260 });
  register([LineChart, GridSimpleComponent, SVGRenderer]);
  const early = made();
  early.setOption(optionOf(look(3, false)), { notMerge: true });
  register(REST);
  early.setOption(optionOf(look(4, false)), { notMerge: true });
  expect((early.getOption().series as { data: unknown[] }[])[0]?.data).toHaveLength(4);
  expect(early.renderToSVGString()).not.toContain("loss"); // a legend
  expect(() => early.setOption(optionOf(look(5, true)), { notMerge: true })).toThrow(); // why the chart is made anew
  const late = made();
  late.setOption(optionOf(look(5, true)), { notMerge: true });
  expect(late.renderToSVGString()).toContain("loss");
});
