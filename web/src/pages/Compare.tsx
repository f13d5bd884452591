/** How do runs differ? Their curves over one another, and where their plans part. */
import { Anchor, Button, SegmentedControl, Stack, Table, Title } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { api, told } from "../api/client";
import type { Entry } from "../api/journal";
import { everything, type Plan, planQuery, runQuery } from "../api/queries";
import { Chart } from "../components/Chart";
import { Empty, Failure, Heading, RunStatus, Waiting } from "../components/Bits";
import { figure } from "../lib/format";
import { curves, METRICS, metricsCsv, type MetricName } from "../lib/metrics";
import { save } from "../lib/save";

/** A run's measured models, page by page: the entries that its curves are made of. */
function measuredOf(id: string): Promise<Entry[]> {
  const path = { run_id: id };
  return everything((after) =>
    told(api.GET("/api/v1/runs/{run_id}/journal", { params: { path, query: { after, limit: 1000, kind: ["model_measured"] } } })),
  );
}

/** A plan as names and texts, so that two can be laid side by side. */
export function flat(value: unknown, prefix = ""): Record<string, string> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return { [prefix]: Array.isArray(value) ? value.join(", ") : String(value) };
  return Object.assign({}, ...Object.entries(value).map(([name, inner]) => flat(inner, prefix ? `${prefix}.${name}` : name)));
}

/** The settings in which the plans are not all the same. */
export function differences(plans: readonly (Plan | undefined)[]): { name: string; values: string[] }[] {
  const found = plans.map((plan) => (plan ? flat(plan) : {}));
  const names = [...new Set(found.flatMap((one) => Object.keys(one)))].sort();
  return names
    .map((name) => ({ name, values: found.map((one) => one[name] ?? "–") }))
    .filter(({ values }) => new Set(values).size > 1);
}

export function Compare() {
  const [query] = useSearchParams();
  const ids = (query.get("runs") ?? "").split(",").filter(Boolean).slice(0, 6);
  const [metric, setMetric] = useState<MetricName>("roc_auc");
  const runs = useQueries({ queries: ids.map((id) => runQuery(id)) });
  const plans = useQueries({ queries: ids.map((id) => planQuery(id)) });
  const journals = useQueries({ queries: ids.map((id) => ({ queryKey: ["measured", id], queryFn: () => measuredOf(id) })) });
  const failed = [...runs, ...plans, ...journals].find((one) => one.error);
  if (ids.length < 2)
    return (
      <>
        <Heading title="Compare runs" />
        <Empty title="Choose two runs or more" command="septum run compare RUN RUN" action={<Anchor component={Link} to="/runs">To the runs</Anchor>}>
          Tick them in the list of runs.
        </Empty>
      </>
    );
  if ([...runs, ...plans, ...journals].some((one) => one.isPending)) return <Waiting />;
  const names = ids.map((id, index) => {
    const name = runs[index]?.data?.name ?? "";
    return runs.filter((one) => one.data?.name === name).length > 1 ? `${name} ${id.slice(-4)}` : name;
  });
  const shown = journals.map((journal, index) => ({ ...curves(journal.data ?? [], metric).all, name: names[index] ?? "" }));
  const apart = differences(plans.map((plan) => plan.data));
  return (
    <Stack>
      <Heading title={`Compare ${ids.length} runs`}>
        <SegmentedControl size="xs" value={metric} onChange={(value) => setMetric(value as MetricName)} aria-label="Metric" data={(Object.keys(METRICS) as MetricName[]).map((name) => ({ value: name, label: METRICS[name].title }))} />
        <Button variant="default" size="compact-sm" onClick={() => save("compare-metrics.csv", new Blob([metricsCsv(ids.map((id, index) => ({ id, entries: journals[index]?.data ?? [] })))], { type: "text/csv" }))}>
          All metrics as CSV
        </Button>
      </Heading>
      <Failure error={failed?.error} />
      <Chart title={METRICS[metric].title} curves={shown} file={`compare-${metric.replace("_", "-")}`} />
      <Title order={2} size="h4">
        In what they differ
      </Title>
      <Table.ScrollContainer minWidth={110 + 90 * ids.length}>
        <Table aria-label="Differences" horizontalSpacing="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Setting</Table.Th>
              {ids.map((id, index) => (
                <Table.Th key={id} className="wrap-anywhere">
                  <Anchor component={Link} to={`/runs/${id}`}>
                    {names[index]}
                  </Anchor>
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            <Table.Tr>
              <Table.Th scope="row">status</Table.Th>
              {runs.map((run, index) => (
                <Table.Td key={ids[index]}>{run.data && <RunStatus status={run.data.status} />}</Table.Td>
              ))}
            </Table.Tr>
            {(Object.keys(METRICS) as MetricName[]).map((name) => (
              <Table.Tr key={name}>
                <Table.Th scope="row">{METRICS[name].title}, last</Table.Th>
                {runs.map((run, index) => (
                  <Table.Td key={ids[index]}>{figure(run.data?.metrics?.[name], 4)}</Table.Td>
                ))}
              </Table.Tr>
            ))}
            {apart.map(({ name, values }) => (
              <Table.Tr key={name}>
                <Table.Th scope="row">{name.split(/(?<=[._])/).flatMap((part, at) => (at ? [<wbr key={at} />, part] : [part]))}</Table.Th>
                {values.map((value, index) => (
                  <Table.Td key={ids[index]} className="wrap-anywhere">
                    {value}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Stack>
  );
}
