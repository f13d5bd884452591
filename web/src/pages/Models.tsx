/** Which models have a name? Each version with how far it has come, what made it and who uses it. */
import { Anchor, Button, Group, Paper, Select, Stack, Table, Text, Title } from "@mantine/core";
import { Link, useSearchParams } from "react-router";
import { type Stage, useVersions, type Version } from "../api/registered";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, Waiting, When } from "../components/Bits";
import { beside } from "../components/Sought";
import { StageBadge } from "../components/Origin";
import { figure } from "../lib/format";
import { waitsFor } from "../lib/registered";

const STAGES: Stage[] = ["candidate", "approved", "deployed", "retired"];
const FEW = 5; // versions of a name, until one asks for all

export function Models() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const versions = useVersions();
  const name = query.get("name") ?? "";
  const stage = STAGES.find((one) => one === query.get("stage"));
  const names = [...new Set(versions.data?.map((one) => one.version.name))];
  const shown = (versions.data ?? []).filter((one) => (!name || one.version.name === name) && (!stage || one.stage === stage));
  const change = (what: string, value: string | null): void => {
    const next = new URLSearchParams(query);
    if (value) next.set(what, value);
    else next.delete(what);
    setQuery(next, { replace: true });
  };
  return (
    <>
      <Heading title="Models" below="Models of runs that got a name, to be approved, and deployed to silos." />
      {names.length > 0 && (
        <Group mb="md" gap="sm">
          <Select aria-label="Name" placeholder="Every name" data={names} value={name || null} onChange={(value) => change("name", value)} clearable searchable w={beside(220)} />
          <Select aria-label="Stage" placeholder="Any stage" data={STAGES} value={stage ?? null} onChange={(value) => change("stage", value)} clearable w={beside(190)} />
        </Group>
      )}
      <Failure error={versions.error} retry={() => void versions.refetch()} />
      {versions.isPending && <Waiting />}
      {versions.data?.length === 0 && (
        <Empty
          title="No model has a name yet"
          command="septum model register RUN --name heart --best roc_auc"
          action={can("model.register") && <Button component={Link} to="/runs?status=finished">Choose a run</Button>}
        >
          {can("model.register") ? "A run’s Models tab registers one of its models under a name." : "Whoever may register models gives one of a run’s models a name."}
        </Empty>
      )}
      {names.length > 0 && shown.length === 0 && (
        <Empty title="No version is like this" command="septum model versions" action={<Button variant="default" onClick={() => setQuery({})}>All versions</Button>}>
          Other filters find others.
        </Empty>
      )}
      <Stack>
        {[...new Set(shown.map((one) => one.version.name))].map((one) => (
          <Named key={one} name={one} versions={shown.filter((view) => view.version.name === one).reverse()} all={name === one} more={() => change("name", one)} />
        ))}
      </Stack>
    </>
  );
}

type NamedProps = { name: string; versions: readonly Version[]; all: boolean; more: () => void };

function Named({ name, versions, all, more }: NamedProps) {
  const { who, can } = useSession();
  const shown = all ? versions : versions.slice(0, FEW);
  return (
    <Paper withBorder p="md" component="section" aria-label={name}>
      <Title order={2} size="h4" mb="xs">
        {name}
      </Title>
      <Table.ScrollContainer minWidth={280}>
        <Table highlightOnHover aria-label={`Versions of ${name}`}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Version</Table.Th>
              <Table.Th>Stage</Table.Th>
              <Table.Th visibleFrom="sm">Made by</Table.Th>
              <Table.Th ta="right">ROC-AUC</Table.Th>
              <Table.Th visibleFrom="md">Registered</Table.Th>
              <Table.Th visibleFrom="sm">Used by</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.map((view) => (
              <Table.Tr key={view.version.version}>
                <Table.Td>
                  <Anchor component={Link} to={`/models/${name}/${view.version.version}`} fw={500} aria-label={`${name} ${view.version.version}`}>
                    {view.version.version}
                  </Anchor>
                </Table.Td>
                <Table.Td>
                  <StageBadge stage={view.stage} />
                  {can("model.approve") && who && waitsFor(view, who) && (
                    <Text size="xs" c="dimmed">
                      waits for your approval
                    </Text>
                  )}
                </Table.Td>
                <Table.Td visibleFrom="sm">
                  <Anchor component={Link} to={`/runs/${view.version.run}/models?round=${view.version.round}`} underline="always">
                    {view.version.plan.name}
                  </Anchor>
                  , round {view.version.round}
                </Table.Td>
                <Table.Td ta="right">
                  {figure(view.version.metrics?.roc_auc, 4)}
                </Table.Td>
                <Table.Td visibleFrom="md">
                  <When unix={view.version.registered.at} /> by {view.version.registered.by}
                </Table.Td>
                <Table.Td visibleFrom="sm">{view.used_by?.join(", ") || "no silo"}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {shown.length < versions.length && (
        <Button size="compact-sm" variant="subtle" mt="xs" onClick={more}>
          All {versions.length} versions
        </Button>
      )}
    </Paper>
  );
}
