/** How is a list of runs shown? One row each; on a narrow screen what matters least goes. */
import { Anchor, Box, Checkbox, Group, Progress, Table, Text } from "@mantine/core";
import { Link } from "react-router";
import type { Run } from "../api/queries";
import { RunStatus, When } from "../components/Bits";
import { duration, figure } from "../lib/format";

export function RunsTable({ runs, chosen, choose }: { runs: readonly Run[]; chosen?: readonly string[]; choose?: (id: string) => void }) {
  return (
    <Table.ScrollContainer minWidth={300}>
      <Table highlightOnHover aria-label="Runs">
        <Table.Thead>
          <Table.Tr>
            {choose && <Table.Th w={36} aria-label="To compare" />}
            <Table.Th>Run</Table.Th>
            <Table.Th>Status</Table.Th>
            <Table.Th visibleFrom="sm">Rounds</Table.Th>
            <Table.Th visibleFrom="md">Project</Table.Th>
            <Table.Th visibleFrom="sm" ta="right">ROC-AUC</Table.Th>
            <Table.Th visibleFrom="md" ta="right">Silos</Table.Th>
            <Table.Th visibleFrom="xs">Submitted</Table.Th>
            <Table.Th visibleFrom="md" ta="right">Took</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {runs.map((run) => (
            <Table.Tr key={run.id}>
              {choose && (
                <Table.Td>
                  {!run.asks && <Checkbox size="xs" checked={chosen?.includes(run.id) ?? false} onChange={() => choose(run.id)} aria-label={`Compare ${run.name} ${run.id}`} />}
                </Table.Td>
              )}
              <Table.Td>
                <Anchor component={Link} to={run.asks ? `/statistics/${run.id}` : `/runs/${run.id}`} fw={500}>
                  {run.name}
                </Anchor>
                <Text size="xs" c="dimmed">
                  {run.app.name} {run.app.version} · <span className="mono whole">{run.id}</span>
                </Text>
              </Table.Td>
              <Table.Td>
                <RunStatus status={run.status} />
              </Table.Td>
              <Table.Td visibleFrom="sm">
                {run.asks ? (
                  <Text size="sm" c="dimmed">
                    a question
                  </Text>
                ) : (
                  <Group gap="xs" wrap="nowrap">
                    <Box w={70} visibleFrom="md">
                      <Progress value={(100 * run.finished_rounds) / run.rounds} size="sm" aria-label={`${run.finished_rounds} of ${run.rounds} rounds`} />
                    </Box>
                    <Text size="sm" style={{ whiteSpace: "nowrap" }}>
                      {run.finished_rounds} / {run.rounds}
                    </Text>
                  </Group>
                )}
              </Table.Td>
              <Table.Td visibleFrom="md">{run.project || <Text span c="dimmed">–</Text>}</Table.Td>
              <Table.Td visibleFrom="sm" ta="right">{figure(run.metrics?.roc_auc)}</Table.Td>
              <Table.Td visibleFrom="md" ta="right">{run.silos.length}</Table.Td>
              <Table.Td visibleFrom="xs">
                <When unix={run.created_at} relative />
              </Table.Td>
              <Table.Td visibleFrom="md" ta="right" style={{ whiteSpace: "nowrap" }}>
                {run.ended_at ? duration(run.ended_at - run.created_at) : "–"}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
