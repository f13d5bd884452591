/** What is ECharts told of a chart's curves? Only what the chart knows: a part that was registered after it was made breaks it. */
import type { MantineTheme } from "@mantine/core";
import type { EChartsCoreOption } from "echarts/core";
import { type Curve, smooth } from "../lib/metrics";

const DARK = ["#3bc9db", "#ff922b", "#9775fa", "#51cf66", "#f783ac", "#4dabf7", "#ffd43b", "#a9e34b"];
const COLOURS = ["#0c8599", "#e8590c", "#7048e8", "#2f9e44", "#d6336c", "#1971c2", "#f08c00", "#5c940d"];
const PARTS = 4; // of an axis of values

const LEGEND_PX = 18; // a row of it
const CHARACTER_PX = 6.5;
const SIGN_PX = 46; // a curve's sign in the legend, and what is around it

/** How many rows the names of curves take. */
export const rowsOf = (names: readonly string[], width: number): number => {
  let [rows, at] = [1, 0];
  for (const name of names) {
    const wide = SIGN_PX + CHARACTER_PX * name.length;
    if (at > 0 && at + wide > width) [rows, at] = [rows + 1, 0];
    at += wide;
  }
  return rows;
};

/**
 * How curves are to look.
 *
 * @param weight of smoothing, 0 to 1
 * @param range of their values, where that is known before
 * @param across the chart's width in px
 * @param whole whether the chart was made with what answers to the mouse (chartRest.ts)
 */
export type Look = {
  curves: readonly Curve[];
  weight: number;
  log: boolean;
  digits: number;
  axis: string;
  range?: readonly [least: number, most: number];
  across: number;
  dark: boolean;
  theme: Pick<MantineTheme, "colors" | "fontFamily" | "white" | "black">;
  whole: boolean;
};

export function optionOf({ curves, weight, log, digits, axis, range, across, dark, theme, whole }: Look): EChartsCoreOption {
  const ink = dark ? theme.colors.dark[0] : theme.colors.gray[7];
  const line = dark ? theme.colors.dark[4] : theme.colors.gray[3];
  const rest = {
    aria: { enabled: true },
    legend: curves.length > 1 ? { top: 0, textStyle: { color: ink }, icon: "roundRect", itemHeight: 3 } : { show: false },
    tooltip: {
      trigger: "axis",
      renderMode: "richText", // drawn on the canvas: the page's policy allows no inline styles
      backgroundColor: dark ? theme.colors.dark[6] : theme.white,
      borderColor: line,
      textStyle: { color: dark ? theme.white : theme.black, fontSize: 12 },
      valueFormatter: (value: unknown) => (typeof value === "number" ? value.toFixed(digits) : "–"),
    },
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    dataZoom: [{ type: "inside", filterMode: "none" }],
  };
  return {
    ...(whole ? rest : {}),
    animation: false,
    color: dark ? DARK : COLOURS,
    textStyle: { fontFamily: theme.fontFamily },
    grid: { left: 56, right: 48, top: curves.length > 1 ? 16 + LEGEND_PX * rowsOf(curves.map((curve) => curve.name), across - 16) : 14, bottom: 30 },
    xAxis: {
      type: "value",
      name: axis,
      nameLocation: "end",
      nameGap: 4,
      nameTextStyle: { color: ink, align: "right", verticalAlign: "top", padding: [9, 0, 0, 0] },
      minInterval: 1,
      min: "dataMin",
      max: "dataMax",
      axisLabel: { color: ink, hideOverlap: true },
      axisLine: { onZero: false, lineStyle: { color: line } },
      splitLine: { show: false },
      ...(whole ? { axisPointer: { label: { precision: 0 } } } : {}),
    },
    yAxis: {
      type: log ? "log" : "value",
      axisLine: { onZero: false }, // at the side, also where the other axis begins below 0
      scale: true,
      min: log ? undefined : range?.[0],
      max: log ? undefined : range?.[1],
      interval: range && !log ? (range[1] - range[0]) / PARTS : undefined,
      axisLabel: { color: ink, formatter: (value: number) => String(Number(value.toPrecision(3))) },
      splitLine: { lineStyle: { color: line, type: "dashed" } },
      splitNumber: PARTS,
    },
    series: curves.map((curve, index) => ({
      type: "line",
      name: curve.name,
      data: smooth(log ? curve.points.filter(([, value]) => value > 0) : curve.points, weight),
      showSymbol: curve.points.length < 3,
      lineStyle: { width: index === 0 ? 2.5 : 1.5 },
      emphasis: { focus: "series" },
    })),
  };
}
