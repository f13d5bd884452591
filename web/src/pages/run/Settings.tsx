/** What was a run settled to do? Its plan, the same bytes for everyone who takes part. */
import { Paper, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { planQuery, type Run } from "../../api/queries";
import { Command, Copy, Digest, Fact, Failure, Waiting } from "../../components/Bits";
import { duration } from "../../lib/format";

export function Settings({ run }: { run: Run }) {
  const { data: plan, error, isPending, refetch } = useQuery(planQuery(run.id));
  if (isPending) return <Waiting />;
  if (!plan) return <Failure error={error} retry={() => void refetch()} />;
  const stopping = plan.early_stopping;
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Part title="Training">
          <Fact name="App">
            {plan.app.name} {plan.app.version}
          </Fact>
          <Fact name="The app's digest">
            <Digest digest={plan.app.digest} />
          </Fact>
          <Fact name="Rounds">{plan.rounds}</Fact>
          <Fact name="Seed">{plan.seed}</Fact>
          <Fact name="Strategy">{plan.strategy?.name}</Fact>
          {Object.entries(plan.strategy?.settings ?? {}).map(([name, value]) => (
            <Fact key={name} name={name}>
              {value}
            </Fact>
          ))}
          <Fact name="Early stopping">{stopping ? `${stopping.metric}, patience ${stopping.patience}, least gain ${stopping.min_delta}` : "none"}</Fact>
          <Fact name="Clipping of updates">{plan.clip_norm ?? "none"}</Fact>
        </Part>
        <Part title="Silos and patience">
          <Fact name="Silos">{plan.silos.join(", ")}</Fact>
          <Fact name="Quorum">
            {plan.quorum} of {plan.silos.length}
          </Fact>
          <Fact name="Gathering">{duration(plan.gather_s ?? 0)}</Fact>
          <Fact name="Deadline of an attempt">{duration(plan.deadline_s ?? 0)}</Fact>
          <Fact name="Attempts of a round">{plan.attempts}</Fact>
          <Fact name="Aggregator">{plan.aggregator ?? "any"}</Fact>
          <Fact name="The plan's digest">
            <Digest digest={run.plan_digest} />
          </Fact>
        </Part>
      </SimpleGrid>
      <Paper withBorder p="md">
        <Title order={2} size="h5" mb="xs">
          Hyper-parameters
        </Title>
        <Table.ScrollContainer minWidth={260}>
          <Table aria-label="Hyper-parameters">
            <Table.Tbody>
              {Object.entries(plan.hyper).map(([name, value]) => (
                <Table.Tr key={name}>
                  <Table.Th scope="row" w="40%">
                    {name}
                  </Table.Th>
                  <Table.Td className="mono">{String(value)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Paper>
      <Text size="sm" c="dimmed">
        The plan as JSON <Copy text={JSON.stringify(plan, null, 2)} label="Copy the plan" />
      </Text>
      <Command>{`septum run clone ${run.id}`}</Command>
    </Stack>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper withBorder p="md">
      <Title order={2} size="h5" mb="sm">
        {title}
      </Title>
      <SimpleGrid cols={2} spacing="sm" component="dl" m={0}>
        {children}
      </SimpleGrid>
    </Paper>
  );
}
