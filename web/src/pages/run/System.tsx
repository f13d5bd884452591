/** How busy were the machines of a run's silos while it was at work? As each of them tells, if its steward lets it. */
import { SimpleGrid, Stack, Text } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, type Schemas, told } from "../../api/client";
import type { Run } from "../../api/queries";
import { Chart } from "../../components/Chart";
import { ENDED, Empty, Failure, Waiting } from "../../components/Bits";
import type { Curve } from "../../lib/metrics";

type Series = Schemas["SystemSeries"];
type Reading = keyof Schemas["Readings"];
const POINTS = 300;
const FRESH_MS = 10_000;
const SHOWN: { name: Reading; title: string }[] = [
  { name: "cpu", title: "Processor, % of all cores" },
  { name: "memory_mb", title: "Memory, MB" },
  { name: "gpu", title: "GPU, %" },
  { name: "received_kbs", title: "Received, kB/s" },
  { name: "sent_kbs", title: "Sent, kB/s" },
];

/** A reading of each silo over the seconds since the run began. */
export function loads(series: readonly Series[], reading: Reading, since: number): Curve[] {
  return series
    .map((one) => ({
      name: one.silo,
      points: one.points.flatMap((point) => {
        const value = point.mean[reading];
        return typeof value === "number" ? [[Math.round(point.at - since), value] as const] : [];
      }),
    }))
    .filter((curve) => curve.points.length > 0);
}

export function System({ run }: { run: Run }) {
  const answers = useQueries({
    queries: run.silos.map((silo) => ({
      queryKey: ["system", run.id, silo.name],
      queryFn: () =>
        told(api.GET("/api/v1/runs/{run_id}/system", { params: { path: { run_id: run.id }, query: { silo: silo.name, points: POINTS } } })),
      refetchInterval: ENDED.includes(run.status) ? (false as const) : FRESH_MS,
      retry: false,
    })),
  });
  const told_ = answers.map((one) => one.data);
  const key = answers.map((one) => one.dataUpdatedAt).join();
  const charts = useMemo(() => {
    const series = told_.filter((one): one is Series => one !== undefined);
    return SHOWN.map((shown) => ({ ...shown, curves: loads(series, shown.name, run.created_at) })).filter((one) => one.curves.length > 0);
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the answers are new objects each time; `key` says when they are others
  }, [key, run.created_at]);
  if (answers.some((one) => one.isPending)) return <Waiting />;
  return (
    <Stack>
      <Failure error={answers.find((one) => one.error)?.error} />
      {charts.length === 0 && (
        <Empty title="No silo has told how busy its machine was" command={`septum silo system ${run.silos[0]?.name ?? "NAME"}`}>
          Silos tell it every few seconds, where their stewards let them; a short run may have ended before.
        </Empty>
      )}
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        {charts.map((chart) => (
          <Chart key={chart.name} title={chart.title} curves={chart.curves} file={`${run.id}-${chart.name.replaceAll("_", "-")}`} group={`${run.id} system`} digits={1} axis="s" />
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
