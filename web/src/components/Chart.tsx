/** How are curves drawn? By ECharts on a canvas, with smoothing, a logarithmic scale, a crosshair, PNG and CSV. */
import { ActionIcon, Group, Menu, Paper, Slider, Switch, Text, Tooltip, useComputedColorScheme, useMantineTheme } from "@mantine/core";
import { LineChart } from "echarts/charts";
import { GridSimpleComponent } from "echarts/components";
import { connect, init, use as register, type EChartsType } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef, useState } from "react";
import { type Curve, csv } from "../lib/metrics";
import { save } from "../lib/save";
import { optionOf } from "./chartOption";

register([LineChart, GridSimpleComponent, CanvasRenderer]);

/** What answers to the mouse, and what tells curves apart, comes when the first curve is drawn already. */
const rest = { here: false, coming: undefined as Promise<void> | undefined };

async function fetchRest(): Promise<void> {
  rest.coming ??= import("./chartRest").then(({ REST }) => {
    register(REST);
    rest.here = true;
  });
  await rest.coming;
}

const HEIGHT = 260;

/** A chart on the page. `whole`: the rest was there when it was made; what comes later it does not learn. */
type Drawn = { made: EChartsType; whole: boolean };

/** `range`: of its values, where that is known before; else the chart shows what there is. */
type Props = { title: string; curves: Curve[]; file: string; group?: string; digits?: number; axis?: string; range?: readonly [least: number, most: number] };

export function Chart({ title, curves, file, group, digits = 4, axis = "round", range }: Props) {
  const [width, setWidth] = useState(0); // since it was changed
  const [weight, setWeight] = useState(0);
  const [log, setLog] = useState(false);
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<Drawn | null>(null);
  const [whole, setWhole] = useState(rest.here);
  const theme = useMantineTheme();
  const dark = useComputedColorScheme("light") === "dark";

  useEffect(() => {
    if (whole) return;
    let gone = false;
    const timer = setTimeout(() => void fetchRest().then(() => gone || setWhole(true), () => undefined)); // without it curves are seen all the same
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [whole]);

  useEffect(() => {
    if (!holder.current) return;
    const made = init(holder.current);
    chart.current = { made, whole: rest.here };
    if (group) {
      made.group = group;
      connect(group);
    }
    const around = holder.current;
    const watcher = new ResizeObserver(() => {
      if (made.getWidth() === around.clientWidth && made.getHeight() === around.clientHeight) return; // it tells of the first size, too
      made.resize();
      setWidth(made.getWidth());
    });
    watcher.observe(around);
    return () => {
      watcher.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, [group, whole]); // a chart has what was registered before it was made

  useEffect(() => {
    const drawn = chart.current;
    const across = width || (holder.current?.clientWidth ?? 0);
    drawn?.made.setOption(optionOf({ curves, weight, log, digits, axis, range, across, dark, theme, whole: drawn.whole }), { notMerge: true });
  }, [curves, weight, log, dark, theme, digits, axis, range, width, whole, group]);

  const last = curves[0]?.points.at(-1);
  return (
    <Paper withBorder p="md" component="section" aria-label={title} data-testid={`chart-${file}`} data-points={curves[0]?.points.length ?? 0}>
      <Group justify="space-between" align="flex-start" mb="xs" wrap="nowrap">
        <Group gap="xs" align="baseline" style={{ rowGap: 0 }}>
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
            <Menu.Item closeMenuOnClick onClick={() => save(`${file}.png`, chart.current?.made.getDataURL({ pixelRatio: 2, backgroundColor: dark ? theme.colors.dark[7] : theme.white }))}>
              Download as PNG
            </Menu.Item>
            <Menu.Item closeMenuOnClick onClick={() => save(`${file}.csv`, new Blob([csv(curves)], { type: "text/csv" }))}>
              Download as CSV
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Group>
      <div ref={holder} style={{ height: HEIGHT }} />
    </Paper>
  );
}
