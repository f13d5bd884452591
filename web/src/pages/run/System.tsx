/** How busy were the machines of a run's silos while it was at work? As each of them tells, if its steward lets it. */
import { Button, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { api, type Schemas, told } from "../../api/client";
import { ENDED, type Run } from "../../api/queries";
import { Chart } from "../../components/Chart";
import { Empty, Failure, Waiting } from "../../components/Bits";
import type { Curve } from "../../lib/metrics";

type Series = Schemas["SystemSeries"];
type Reading = keyof Schemas["Readings"];
const POINTS = 300;
const FINE_POINTS = 2000; // where a part of the time is looked at
const FRESH_MS = 10_000;
const SHARE = [0, 100] as const;
const SHOWN: { name: Reading; title: string; digits: number; range?: readonly [number, number] }[] = [
  { name: "cpu", title: "Processor, % of all cores", digits: 0, range: SHARE },
  { name: "memory_mb", title: "Memory, MB", digits: 0 },
  { name: "gpu", title: "GPU, %", digits: 0, range: SHARE },
  { name: "received_kbs", title: "Received, kB/s", digits: 1 },
  { name: "sent_kbs", title: "Sent, kB/s", digits: 1 },
];

/** Seconds since a run was submitted. */
export type Part = readonly [from: number, to: number];

/** The part of the time that an address asks for; all of it where it asks for none. */
export function partOf(query: URLSearchParams): Part | null {
  const [from, to] = [query.get("from"), query.get("to")];
  return from !== null && to !== null && Number(from) < Number(to) ? [Number(from), Number(to)] : null;
}

/** A reading of each silo over the seconds since the run was submitted; of a part, with the readings that were under way at its ends. */
export function loads(series: readonly Series[], reading: Reading, since: number, part: Part | null = null): Curve[] {
  return series
    .map((one) => ({
      name: one.silo,
      points: one.points.flatMap((point) => {
        const value = point.mean[reading];
        const at = point.at - since;
        const seen = part === null || (at + point.span_s >= part[0] && at <= part[1]);
        return seen && typeof value === "number" ? [[Math.round(at), value] as const] : [];
      }),
    }))
    .filter((curve) => curve.points.length > 0);
}

export function System({ run }: { run: Run }) {
  const [query, setQuery] = useSearchParams();
  const part = partOf(query);
  const one = run.silos.find((silo) => silo.name === query.get("silo"));
  const round = query.get("round");
  const points = part ? FINE_POINTS : POINTS;
  const answers = useQueries({
    queries: (one ? [one] : run.silos).map((silo) => ({
      queryKey: ["system", run.id, silo.name, points],
      queryFn: () =>
        told(api.GET("/api/v1/runs/{run_id}/system", { params: { path: { run_id: run.id }, query: { silo: silo.name, points } } })),
      refetchInterval: ENDED.includes(run.status) ? (false as const) : FRESH_MS,
      retry: false,
    })),
  });
  const told_ = answers.map((one) => one.data);
  const key = answers.map((one) => one.dataUpdatedAt).join();
  const charts = useMemo(() => {
    const series = told_.filter((one): one is Series => one !== undefined);
    return SHOWN.map((shown) => ({ ...shown, curves: loads(series, shown.name, run.created_at, part) })).filter((shown) => shown.curves.length > 0);
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the answers are new objects each time; `key` says when they are others
  }, [key, run.created_at, part?.[0], part?.[1]]);
  if (answers.some((one) => one.isPending)) return <Waiting />;
  return (
    <Stack>
      {(one || part) && (
        <Group>
          <Text size="sm">
            {one ? one.name : "All silos"}
            {part && `, from ${part[0].toFixed(1)} s to ${part[1].toFixed(1)} s`}
            {part && round && `, round ${round}`}
          </Text>
          <Button size="compact-sm" variant="default" onClick={() => setQuery({}, { replace: true })}>
            Everything
          </Button>
        </Group>
      )}
      <Failure error={answers.find((one) => one.error)?.error} />
      {charts.length === 0 && part && (
        <Empty title="No reading falls into this time" command={`septum silo system ${one?.name ?? run.silos[0]?.name ?? "NAME"}`}>
          Silos tell how busy they are every few seconds, where their stewards let them.
        </Empty>
      )}
      {charts.length === 0 && !part && (
        <Empty title="No silo has told how busy its machine was" command={`septum silo system ${one?.name ?? run.silos[0]?.name ?? "NAME"}`}>
          Silos tell it every few seconds, where their stewards let them; a short run may have ended before.
        </Empty>
      )}
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        {charts.map((chart) => (
          <Chart key={chart.name} title={chart.title} curves={chart.curves} file={`${run.id}-${chart.name.replaceAll("_", "-")}`} group={`${run.id} system`} digits={chart.digits} range={chart.range} axis="s" />
        ))}
      </SimpleGrid>
      {charts.length > 0 && (
        <Text size="xs" c="dimmed">
          Means, over the seconds since the run was submitted.
        </Text>
      )}
    </Stack>
  );
}
