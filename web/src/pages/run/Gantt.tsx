/** How does a whole run look in time? A lane for each silo and one for the coordinator; the time alone can be zoomed. */
import { ActionIcon, Box, Button, Group, Stack, Text, Tooltip } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { duration } from "../../lib/format";
import { type Bar, drawn, lanes, moved, type Attempt, type Part, ticks, whole, zoomed } from "../../lib/timeline";
import { DOING, spoken } from "./doing";

const LANE = 18;
const LABEL = 104;
const NEARER = 0.6;
const TICK_PX = 90;

type Props = { attempts: readonly Attempt[]; part: Part; zero: number; selected: Bar | undefined; show: (part: Part) => void; select: (bar: Bar) => void };

export function Gantt({ attempts, part, zero, selected, show, select }: Props) {
  const { ref, width } = useElementSize();
  const area = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<Bar>();
  const pixels = Math.max((width || 800) - LABEL, 100);
  const all = useMemo(() => whole(attempts), [attempts]);
  const found = useMemo(() => lanes(attempts), [attempts]);
  const shown = useMemo(() => found.map((lane) => ({ name: lane.name, bars: drawn(lane.bars, part, pixels) })), [found, part, pixels]);
  const x = (at: number): number => ((at - part[0]) / (part[1] - part[0])) * pixels;
  const far = part[1] - part[0] >= all[1] - all[0];

  const wheel = useRef<(event: WheelEvent) => void>(() => undefined);
  useEffect(() => {
    wheel.current = (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (far && (sideways || event.deltaY > 0)) return; // nothing is left to see: the page scrolls
      event.preventDefault();
      const left = area.current?.getBoundingClientRect().left ?? 0;
      const at = part[0] + ((event.clientX - left - LABEL) / pixels) * (part[1] - part[0]);
      if (sideways) show(moved(part, all, (event.deltaX || event.deltaY) / pixels));
      else show(zoomed(part, all, event.deltaY > 0 ? 1 / NEARER : NEARER, Math.min(Math.max(at, part[0]), part[1])));
    };
  });
  useEffect(() => {
    const element = area.current;
    const listener = (event: WheelEvent): void => wheel.current(event);
    element?.addEventListener("wheel", listener, { passive: false }); // React's own cannot keep the page from scrolling
    return () => element?.removeEventListener("wheel", listener);
  }, []);

  const keys: Record<string, () => Part> = {
    "+": () => zoomed(part, all, NEARER),
    "=": () => zoomed(part, all, NEARER),
    "-": () => zoomed(part, all, 1 / NEARER),
    "0": () => all,
    ArrowLeft: () => moved(part, all, -0.25),
    ArrowRight: () => moved(part, all, 0.25),
  };
  const key = (event: KeyboardEvent): void => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show(action());
  };
  const under = (event: PointerEvent | React.MouseEvent): Bar | undefined => {
    const place = (event.target as SVGElement).dataset?.bar?.split(" ").map(Number);
    return place ? shown[place[0] ?? 0]?.bars[place[1] ?? 0] : undefined;
  };
  const button = (label: string, text: string, next: Part, off: boolean) => (
    <Tooltip label={label}>
      <ActionIcon variant="default" aria-label={label} onClick={() => show(next)} disabled={off}>
        {text}
      </ActionIcon>
    </Tooltip>
  );
  return (
    <Stack gap="xs" component="section" aria-label="The whole run">
      <Group gap={6}>
        {button("Nearer", "+", zoomed(part, all, NEARER), false)}
        {button("Farther", "−", zoomed(part, all, 1 / NEARER), far)}
        {button("Earlier", "‹", moved(part, all, -0.5), far || part[0] <= all[0])}
        {button("Later", "›", moved(part, all, 0.5), far || part[1] >= all[1])}
        <Button size="compact-sm" variant="subtle" onClick={() => show(all)} disabled={far}>
          The whole run
        </Button>
        <Text size="xs" c="dimmed" data-testid="part">
          {duration(part[1] - part[0])} of {duration(all[1] - all[0])}
        </Text>
      </Group>
      <div ref={ref}>
        <Tooltip.Floating label={pointed && spoken(pointed)} disabled={!pointed}>
          <Box
            ref={area}
            component="div"
            tabIndex={0}
            role="group"
            aria-label="Time by silo. Plus and minus zoom, the arrows move, 0 shows the whole run."
            onKeyDown={key}
            onPointerMove={(event: PointerEvent) => setPointed(under(event))}
            onPointerLeave={() => setPointed(undefined)}
            onClick={(event: React.MouseEvent) => {
              const bar = under(event);
              if (bar) select(bar);
            }}
          >
            <svg width={LABEL + pixels} height={shown.length * (LANE + 4) + 18} style={{ display: "block" }} data-testid="gantt">
              {shown.map((lane, row) => (
                <g key={lane.name} transform={`translate(0 ${row * (LANE + 4)})`}>
                  <text x={0} y={13} fontSize={12} fill="currentColor">
                    {lane.name.length > 16 ? `${lane.name.slice(0, 15)}…` : lane.name}
                  </text>
                  <rect x={LABEL} width={pixels} height={LANE} fill="var(--mantine-color-default-hover)" rx={3} />
                  {lane.bars.map((bar, index) => {
                    const from = Math.max(x(bar.span.start), 0);
                    const to = Math.min(x(bar.span.start + bar.span.duration_s), pixels);
                    const chosen = bar.span === selected?.span;
                    return (
                      <rect
                        key={index}
                        data-bar={`${row} ${index}`}
                        x={LABEL + from}
                        width={Math.max(to - from, 1)}
                        y={0}
                        height={LANE}
                        fill={bar.problem ? "#e03131" : DOING[bar.span.doing].colour}
                        opacity={bar.span.doing === "wait" && !bar.problem ? 0.45 : 1}
                        stroke={chosen ? "currentColor" : undefined}
                        strokeWidth={chosen ? 2 : undefined}
                        style={{ cursor: "pointer" }}
                      />
                    );
                  })}
                </g>
              ))}
              {ticks(part, zero, pixels / TICK_PX).map((at) => (
                <text key={at} x={LABEL + x(zero + at)} y={shown.length * (LANE + 4) + 12} fontSize={11} textAnchor={x(zero + at) > pixels - 40 ? "end" : "start"} fill="var(--mantine-color-dimmed)">
                  {at} s
                </text>
              ))}
            </svg>
          </Box>
        </Tooltip.Floating>
      </div>
    </Stack>
  );
}
