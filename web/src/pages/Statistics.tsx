/** Which statistics were asked of the silos? Each question with how far it has come; a page at a time. */
import { Anchor, Button, Group, Select, Table, Text } from "@mantine/core";
import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { useApps, useProjects, useRuns } from "../api/queries";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, RunStatus, Waiting, When } from "../components/Bits";
import { Pages } from "../components/Pages";
import { beside } from "../components/Sought";

export function Statistics() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const wanted = { after: query.get("after") ?? "", app: query.get("app") ?? "", project: query.get("project") ?? "", asks: true };
  const { data, error, isPending, refetch } = useRuns(wanted);
  const apps = useApps(can("app.read"));
  const projects = useProjects(can("project.read"));
  const names = useMemo(() => [...new Set(apps.data?.map((app) => app.name) ?? [])], [apps.data]);
  const filtered = Boolean(wanted.app || wanted.project);
  const change = (name: string, value: string | null): void => {
    const next = new URLSearchParams(query);
    next.delete("after");
    if (value) next.set(name, value);
    else next.delete(name);
    setQuery(next);
  };
  const ask = can("run.submit") && (
    <Button component={Link} to="/statistics/new">
      Ask a question
    </Button>
  );
  return (
    <>
      <Heading title="Statistics" below="Counts, means, quantiles and tables over the rows of many silos, in masked sums. No model is trained, no code of an app runs.">
        {ask}
      </Heading>
      {(names.length > 1 || filtered || (projects.data?.length ?? 0) > 0) && (
        <Group mb="md" gap="sm">
          <Select aria-label="App" placeholder="Any app" data={names} value={wanted.app || null} onChange={(value) => change("app", value)} clearable w={beside(190)} />
          {(projects.data?.length ?? 0) > 0 && <Select aria-label="Project" placeholder="Any project" data={projects.data?.map((one) => one.name)} value={wanted.project || null} onChange={(value) => change("project", value)} clearable w={beside(190)} />}
        </Group>
      )}
      <Failure error={error} retry={() => void refetch()} />
      {isPending && <Waiting />}
      {data && data.items.length === 0 && (
        <Empty
          title={filtered || wanted.after ? "No question is like this" : "Nothing was asked yet"}
          command={filtered ? "septum stats list" : "septum stats run heart-disease --columns age,chol --table sex,num"}
          action={filtered ? <Button variant="default" onClick={() => setQuery({})}>All questions</Button> : ask}
        >
          {filtered ? "Other filters find others." : "How many patients are there, in which range are their values, how many are missing? Ask before you train."}
        </Empty>
      )}
      {data && data.items.length > 0 && (
        <>
          <Table.ScrollContainer minWidth={300}>
            <Table highlightOnHover aria-label="Questions">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Question</Table.Th>
                  <Table.Th>Status</Table.Th>
                  <Table.Th visibleFrom="md">Project</Table.Th>
                  <Table.Th visibleFrom="sm">Silos</Table.Th>
                  <Table.Th visibleFrom="md">By</Table.Th>
                  <Table.Th visibleFrom="xs">Asked</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {data.items.map((run) => (
                  <Table.Tr key={run.id}>
                    <Table.Td>
                      <Anchor component={Link} to={`/statistics/${run.id}`} fw={500}>
                        {run.name}
                      </Anchor>
                      <Text size="xs" c="dimmed">
                        {run.app.name} {run.app.version} · <span className="mono whole">{run.id}</span>
                      </Text>
                    </Table.Td>
                    <Table.Td>
                      <RunStatus status={run.status} />
                    </Table.Td>
                    <Table.Td visibleFrom="md">{run.project || <Text span c="dimmed">–</Text>}</Table.Td>
                    <Table.Td visibleFrom="sm">{run.silos.map((silo) => silo.name).join(", ")}</Table.Td>
                    <Table.Td visibleFrom="md">{run.submitter || <Text span c="dimmed">–</Text>}</Table.Td>
                    <Table.Td visibleFrom="xs">
                      <When unix={run.created_at} relative />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Pages next={data.next} />
        </>
      )}
    </>
  );
}
