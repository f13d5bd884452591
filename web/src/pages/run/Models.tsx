/** Which models did a run make, which is the best, and how does one get them? */
import { Anchor, Badge, Button, Drawer, Group, Modal, Pagination, SegmentedControl, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import type { Entry } from "../../api/journal";
import { type Model, planQuery, type Run, useModels } from "../../api/queries";
import { useVersions } from "../../api/registered";
import { useSession } from "../../api/session";
import { Command, Digest, Empty, Failure, Waiting } from "../../components/Bits";
import { fileOf, Origin, StageBadge } from "../../components/Origin";
import { Register } from "../../components/Register";
import { bytes, figure } from "../../lib/format";
import { best, METRICS, type MetricName } from "../../lib/metrics";
import { Own } from "./Own";

const PAGE = 25;

/** The silos whose reports made the model of a round; of round 0 those that prepared, as the journal has it; undefined where it does not say. */
export function makersOf(entries: readonly Entry[], round: number): readonly string[] | undefined {
  let found: readonly string[] | undefined;
  for (const { fact } of entries) if (fact.kind === "stage_closed" && fact.stage !== "evaluate" && fact.round === round) found = fact.reported;
  return found;
}

export function Models({ run, entries }: { run: Run; entries: readonly Entry[] }) {
  const models = useModels(run.id);
  const [query, setQuery] = useSearchParams();
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
  const open = newest.find((one) => String(one.round) === query.get("round"));
  const register = can("model.register") ? query.get("register") : null;
  const turn = (to: Record<string, string>): void => setQuery(to, { replace: true });
  return (
    <Stack>
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {newest.length} models, round 0 is the one that training began with. A digest names a model to the byte.
        </Text>
        <SegmentedControl size="xs" value={metric} onChange={(value) => setMetric(value as MetricName)} aria-label="Best by" data={(Object.keys(METRICS) as MetricName[]).map((name) => ({ value: name, label: METRICS[name].title }))} />
      </Group>
      {found && (
        <Group>
          {can("model.download") && <Save model={found} run={run} primary text={`Download the best model, of round ${found.round}`} />}
          {can("model.register") && (
            <Button variant="default" onClick={() => turn({ register: "best" })}>
              Register as …
            </Button>
          )}
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
                  <UnstyledButton c="var(--mantine-color-anchor)" fz="sm" onClick={() => turn({ round: String(model.round) })} aria-label={`The card of the model of round ${model.round}`}>
                    {model.round}
                  </UnstyledButton>
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
      <Own run={run} />
      <Command>{`septum model download --run ${run.id} --best`}</Command>
      <Drawer opened={open !== undefined} onClose={() => turn({})} position="right" size="lg" title={open && `The model of round ${open.round}`}>
        {open && <Card run={run} model={open} entries={entries} register={() => turn({ register: String(open.round) })} />}
      </Drawer>
      <Modal opened={register !== null} onClose={() => turn({})} title="Register a model under a name" size="lg">
        {register !== null && <Register run={run} models={newest} round={newest.some((one) => String(one.round) === register) ? Number(register) : null} metric={metric} close={() => turn({})} />}
      </Modal>
    </Stack>
  );
}

/** Where a model comes from, and under which names it is known. */
function Card({ run, model, entries, register }: { run: Run; model: Model; entries: readonly Entry[]; register: () => void }) {
  const { can } = useSession();
  const plan = useQuery(planQuery(run.id));
  const versions = useVersions();
  const named = versions.data?.filter((one) => one.version.run === run.id && one.version.model.digest === model.digest) ?? [];
  if (plan.isPending) return <Waiting />;
  if (plan.error) return <Failure error={plan.error} />;
  return (
    <Stack>
      <Origin run={run.id} round={model.round} plan={plan.data} digest={model.digest} size={model.size_bytes} metrics={model.metrics} reported={makersOf(entries, model.round)} />
      {named.map((one) => (
        <Group key={`${one.version.name} ${one.version.version}`} gap="xs">
          <Anchor component={Link} to={`/models/${one.version.name}/${one.version.version}`} fw={500}>
            {one.version.name} {one.version.version}
          </Anchor>
          <StageBadge stage={one.stage} />
          {one.used_by?.length ? <Text size="sm">used by {one.used_by.join(", ")}</Text> : null}
        </Group>
      ))}
      {versions.data && named.length === 0 && (
        <Text size="sm" c="dimmed">
          It is not registered under a name.
        </Text>
      )}
      <Group>
        {can("model.download") && <Save model={model} run={run} text="Download" primary />}
        {can("model.register") && (
          <Button variant="default" onClick={register}>
            Register as …
          </Button>
        )}
      </Group>
      <Command>{`septum model card ${run.id} --round ${model.round}`}</Command>
    </Stack>
  );
}

function Save({ model, run, text, primary = false }: { model: Model; run: Run; text: string; primary?: boolean }) {
  return (
    <Button component="a" href={fileOf(model.digest, run.id)} download={`${run.name}-round-${model.round}.safetensors`} size={primary ? "sm" : "compact-xs"} variant={primary ? "filled" : "default"} aria-label={primary ? text : `Download the model of round ${model.round}`}>
      {text}
    </Button>
  );
}
