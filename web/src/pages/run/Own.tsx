/** What became of the silos' own models: a row each, with its file where the run keeps them, else how its steward finds it. */
import { Button, Group, NativeSelect, Table, Text, Title } from "@mantine/core";
import { useState } from "react";
import { type Run, type SiloModel, useSiloModels } from "../../api/queries";
import { useSession } from "../../api/session";
import { Command, Digest, Failure, Waiting } from "../../components/Bits";
import { bytes, figure } from "../../lib/format";

export function Own({ run }: { run: Run }) {
  return (
    <section aria-label="The silos’ own models">
      <Title order={2} size="h5" mb={4}>
        The silos&apos; own models
      </Title>
      {run.keeps_silo_models ? <Kept run={run} /> : <InTheSilos run={run} />}
    </section>
  );
}

/** Of one round: the newest, or the one that was chosen. */
function Kept({ run }: { run: Run }) {
  const { can } = useSession();
  const [chosen, choose] = useState<number | null>(null);
  const round = chosen ?? run.finished_rounds;
  const found = useSiloModels(run.id, round);
  if (!round)
    return (
      <Text size="sm" c="dimmed">
        This run keeps them; the first are there after round 1.
      </Text>
    );
  const of = new Map(found.data?.map((one) => [one.silo, one]));
  return (
    <>
      <Group justify="space-between" align="end" mb="xs">
        <Text size="sm" c="dimmed" style={{ flex: 1, minWidth: 220 }}>
          This run keeps what each silo made of a round: each model holds what was learnt from one silo&apos;s rows alone. One that moved the model unlike the others is worth a look.
        </Text>
        <NativeSelect size="xs" label="Round" value={String(round)} onChange={(event) => choose(Number(event.currentTarget.value))} data={Array.from({ length: run.finished_rounds }, (_, before) => String(run.finished_rounds - before))} />
      </Group>
      {found.isPending ? <Waiting /> : found.error ? <Failure error={found.error} retry={() => void found.refetch()} /> : <Rows run={run} of={of} inspects={can("model.inspect")} />}
      <Command>{`septum model list --run ${run.id} --silos`}</Command>
    </>
  );
}

function Rows({ run, of, inspects }: { run: Run; of: ReadonlyMap<string, SiloModel>; inspects: boolean }) {
  return (
    <Table.ScrollContainer minWidth={280}>
      <Table aria-label="The silos’ own models">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Silo</Table.Th>
            <Table.Th ta="right">Moved the model by</Table.Th>
            <Table.Th ta="right" visibleFrom="sm">ROC-AUC of the round there</Table.Th>
            <Table.Th visibleFrom="md">Digest</Table.Th>
            <Table.Th ta="right" visibleFrom="sm">Size</Table.Th>
            {inspects && <Table.Th aria-label="Download" />}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {run.silos.map(({ name }) => {
            const model = of.get(name);
            return (
              <Table.Tr key={name}>
                <Table.Td>{name}</Table.Td>
                <Table.Td ta="right">{model ? figure(model.update_norm, 4) : "no part in this round"}</Table.Td>
                <Table.Td ta="right" visibleFrom="sm">{figure(model?.federation?.roc_auc, 4)}</Table.Td>
                <Table.Td visibleFrom="md">{model && <Digest digest={model.digest} />}</Table.Td>
                <Table.Td ta="right" visibleFrom="sm">{model && bytes(model.size_bytes)}</Table.Td>
                {inspects && <Table.Td ta="right">{model && <Save model={model} name={run.name} />}</Table.Td>}
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Save({ model, name }: { model: SiloModel; name: string }) {
  return (
    <Button component="a" href={`/api/v1/runs/${encodeURIComponent(model.run)}/silo-models/${model.round}/${encodeURIComponent(model.silo)}`} download={`${name}-round-${model.round}-${model.silo}.safetensors`} size="compact-xs" variant="default" aria-label={`Download the model of ${model.silo} of round ${model.round}`}>
      Download
    </Button>
  );
}

function InTheSilos({ run }: { run: Run }) {
  return (
    <>
      <Text size="sm" c="dimmed" mb="xs">
        {run.masked
          ? "This run was masked: the coordinator learnt sums alone."
          : "The coordinator combined what each silo sent, and keeps the result alone."}{" "}
        A silo keeps one of its own at the end where the app has parameters that never leave it, or the run was personalised.
      </Text>
      <Table.ScrollContainer minWidth={280}>
        <Table aria-label="The silos’ own models">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Silo</Table.Th>
              <Table.Th>Its own model</Table.Th>
              <Table.Th>For its steward</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {run.silos.map((silo) => (
              <Table.Tr key={silo.name}>
                <Table.Td>{silo.name}</Table.Td>
                <Table.Td>{run.masked ? "never left the silo" : "not kept"}</Table.Td>
                <Table.Td className="mono">septum silo model list</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </>
  );
}
