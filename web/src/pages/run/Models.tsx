/** Which models did a run make, which is the best, and how does one get them? */
import { Alert, Badge, Button, Group, Pagination, SegmentedControl, Stack, Table, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { type Model, type Run, useModels } from "../../api/queries";
import { useSession } from "../../api/session";
import { Command, Digest, Empty, Failure, Waiting } from "../../components/Bits";
import { bytes, figure } from "../../lib/format";
import { best, METRICS, type MetricName } from "../../lib/metrics";

const PAGE = 25;

export function Models({ run }: { run: Run }) {
  const models = useModels(run.id);
  const { can } = useSession();
  const [metric, setMetric] = useState<MetricName>("roc_auc");
  const [page, setPage] = useState(1);
  const newest = useMemo(() => [...(models.data ?? [])].reverse(), [models.data]);
  const found = best(newest, metric);
  if (models.isPending) return <Waiting />;
  if (models.error) return <Failure error={models.error} retry={() => void models.refetch()} />;
  if (!newest.length)
    return (
      <Empty title="No model yet" command={`septum model list --run ${run.id}`}>
        The first one is there when the silos have prepared their data.
      </Empty>
    );
  const shown = newest.slice((page - 1) * PAGE, page * PAGE);
  return (
    <Stack>
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {newest.length} models, round 0 is the one that training began with. A digest names a model to the byte.
        </Text>
        <SegmentedControl size="xs" value={metric} onChange={(value) => setMetric(value as MetricName)} aria-label="Best by" data={(Object.keys(METRICS) as MetricName[]).map((name) => ({ value: name, label: METRICS[name].title }))} />
      </Group>
      {found && can("model.download") && (
        <Group>
          <Save model={found} run={run} primary text={`Download the best model, of round ${found.round}`} />
        </Group>
      )}
      <Table.ScrollContainer minWidth={300}>
        <Table highlightOnHover aria-label="Models">
          <Table.Thead>
            <Table.Tr>
              <Table.Th ta="right" w={110}>Round</Table.Th>
              <Table.Th ta="right">ROC-AUC</Table.Th>
              <Table.Th ta="right" visibleFrom="sm">Accuracy</Table.Th>
              <Table.Th ta="right" visibleFrom="sm">Log loss</Table.Th>
              <Table.Th visibleFrom="md">Digest</Table.Th>
              <Table.Th ta="right" visibleFrom="sm">Size</Table.Th>
              {can("model.download") && <Table.Th aria-label="Download" />}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.map((model) => (
              <Table.Tr key={model.round}>
                <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
                  {model === found && <Badge size="xs" color="teal" variant="light" tt="none" mr={6}>best</Badge>}
                  {model.round}
                </Table.Td>
                <Table.Td ta="right">{figure(model.metrics?.roc_auc, 4)}</Table.Td>
                <Table.Td ta="right" visibleFrom="sm">{figure(model.metrics?.accuracy, 4)}</Table.Td>
                <Table.Td ta="right" visibleFrom="sm">{figure(model.metrics?.log_loss, 4)}</Table.Td>
                <Table.Td visibleFrom="md"><Digest digest={model.digest} /></Table.Td>
                <Table.Td ta="right" visibleFrom="sm">{bytes(model.size_bytes)}</Table.Td>
                {can("model.download") && (
                  <Table.Td ta="right"><Save model={model} run={run} text="Download" /></Table.Td>
                )}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {newest.length > PAGE && <Pagination total={Math.ceil(newest.length / PAGE)} value={page} onChange={setPage} getControlProps={(control) => ({ "aria-label": control })} />}
      <Alert variant="light" color="gray" title="The silos' own models">
        {run.masked
          ? "They never left the silos: this run was masked. A silo's steward finds them with septum silo model list."
          : "The coordinator combined what each silo sent and keeps the result alone. A silo's steward finds its own with septum silo model list."}
      </Alert>
      <Command>{`septum model download --run ${run.id} --best`}</Command>
    </Stack>
  );
}

function Save({ model, run, text, primary = false }: { model: Model; run: Run; text: string; primary?: boolean }) {
  const where = `/api/v1/models/${encodeURIComponent(model.digest)}?run=${encodeURIComponent(run.id)}`;
  return (
    <Button component="a" href={where} download={`${run.name}-round-${model.round}.safetensors`} size={primary ? "sm" : "compact-xs"} variant={primary ? "filled" : "default"} aria-label={primary ? text : `Download the model of round ${model.round}`}>
      {text}
    </Button>
  );
}
