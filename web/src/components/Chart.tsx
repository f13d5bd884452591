/** How are curves drawn? By ECharts on a canvas, with smoothing, a logarithmic scale, a crosshair, PNG and CSV. */
import { ActionIcon, Group, Menu, Paper, Slider, Switch, Text, Tooltip, useComputedColorScheme, useMantineTheme } from "@mantine/core";
import { LineChart } from "echarts/charts";
import { AriaComponent, AxisPointerComponent, DataZoomInsideComponent, GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { connect, init, use as register, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef, useState } from "react";
import { type Curve, csv, smooth } from "../lib/metrics";

register([
  LineChart,
  GridComponent,
  TooltipComponent,
  LegendComponent,
  AxisPointerComponent,
  DataZoomInsideComponent,
  AriaComponent,
  CanvasRenderer,
]);

const DARK = ["#3bc9db", "#ff922b", "#9775fa", "#51cf66", "#f783ac", "#4dabf7", "#ffd43b", "#a9e34b"];
const COLOURS = ["#0c8599", "#e8590c", "#7048e8", "#2f9e44", "#d6336c", "#1971c2", "#f08c00", "#5c940d"];
const HEIGHT = 260;

type Props = { title: string; curves: Curve[]; file: string; group?: string; digits?: number; axis?: string };

export function Chart({ title, curves, file, group, digits = 4, axis = "round" }: Props) {
  const [weight, setWeight] = useState(0);
  const [log, setLog] = useState(false);
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const theme = useMantineTheme();
  const dark = useComputedColorScheme("light") === "dark";

  useEffect(() => {
    if (!holder.current) return;
    const made = init(holder.current);
    chart.current = made;
    if (group) {
      made.group = group;
      connect(group);
    }
    const watcher = new ResizeObserver(() => made.resize());
    watcher.observe(holder.current);
    return () => {
      watcher.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, [group]);

  useEffect(() => {
    const ink = dark ? theme.colors.dark[0] : theme.colors.gray[7];
    const line = dark ? theme.colors.dark[4] : theme.colors.gray[3];
    chart.current?.setOption(
      {
        animation: false,
        aria: { enabled: true },
        color: dark ? DARK : COLOURS,
        textStyle: { fontFamily: theme.fontFamily },
        grid: { left: 56, right: 48, top: curves.length > 1 ? 34 : 14, bottom: 30 },
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
        xAxis: {
          type: "value",
          name: axis,
          nameLocation: "end",
          nameGap: 4,
          nameTextStyle: { color: ink, align: "right", verticalAlign: "top", padding: [12, 0, 0, 0] },
          minInterval: 1,
          min: "dataMin",
          max: "dataMax",
          axisLabel: { color: ink, hideOverlap: true },
          axisLine: { lineStyle: { color: line } },
          splitLine: { show: false },
          axisPointer: { label: { precision: 0 } },
        },
        yAxis: {
          type: log ? "log" : "value",
          scale: true,
          axisLabel: { color: ink, formatter: (value: number) => String(Number(value.toPrecision(3))) },
          splitLine: { lineStyle: { color: line, type: "dashed" } },
          splitNumber: 4,
        },
        series: curves.map((curve, index) => ({
          type: "line",
          name: curve.name,
          data: smooth(log ? curve.points.filter(([, value]) => value > 0) : curve.points, weight),
          showSymbol: curve.points.length < 3,
          lineStyle: { width: index === 0 ? 2.5 : 1.5 },
          emphasis: { focus: "series" },
        })),
      },
      { notMerge: true },
    );
  }, [curves, weight, log, dark, theme, digits, axis]);

  const last = curves[0]?.points.at(-1);
  return (
    <Paper withBorder p="md" component="section" aria-label={title} data-testid={`chart-${file}`} data-points={curves[0]?.points.length ?? 0}>
      <Group justify="space-between" mb="xs" wrap="nowrap">
        <Group gap="xs" align="baseline">
          <Text fw={600}>{title}</Text>
          {last && (
            <Text size="sm" c="dimmed">
              {last[1].toFixed(digits)} {axis === "round" ? `in round ${last[0]}` : "last"}
            </Text>
          )}
        </Group>
        <Menu position="bottom-end" closeOnItemClick={false} width={230}>
          <Menu.Target>
            <Tooltip label="Scale, smoothing, download">
              <ActionIcon variant="subtle" color="gray" aria-label={`${title}: scale, smoothing, download`}>
                <svg width="16" height="16" viewBox="0 0 16 16" fill="currentColor" aria-hidden>
                  <circle cx="3" cy="8" r="1.4" />
                  <circle cx="8" cy="8" r="1.4" />
                  <circle cx="13" cy="8" r="1.4" />
                </svg>
              </ActionIcon>
            </Tooltip>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Label>Smoothing</Menu.Label>
            <Slider mx="sm" mb="sm" min={0} max={0.95} step={0.05} value={weight} onChange={setWeight} label={(value) => value.toFixed(2)} thumbLabel="Smoothing" />
            <Switch mx="sm" mb="sm" label="Logarithmic scale" checked={log} onChange={(event) => setLog(event.currentTarget.checked)} />
            <Menu.Divider />
            <Menu.Item closeMenuOnClick onClick={() => save(`${file}.png`, chart.current?.getDataURL({ pixelRatio: 2, backgroundColor: dark ? theme.colors.dark[7] : theme.white }))}>
              Download as PNG
            </Menu.Item>
            <Menu.Item closeMenuOnClick onClick={() => save(`${file}.csv`, URL.createObjectURL(new Blob([csv(curves)], { type: "text/csv" })))}>
              Download as CSV
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Group>
      <div ref={holder} style={{ height: HEIGHT }} />
    </Paper>
  );
}

function save(name: string, url: string | undefined): void {
  if (!url) return;
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
