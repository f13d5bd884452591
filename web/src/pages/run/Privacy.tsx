/** What does the coordinator learn in a run, what leaves a silo, and what was promised of each record? */
import { Alert, Badge, Group, Paper, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { descriptionQuery, planQuery, type Run } from "../../api/queries";
import { useSession } from "../../api/session";
import { Command, Fact } from "../../components/Bits";

export function Privacy({ run }: { run: Run }) {
  const { can } = useSession();
  const plan = useQuery(planQuery(run.id)).data;
  const noise = plan?.query?.noise;
  const app = useQuery({ ...descriptionQuery(can("app.read") ? run.app.digest : ""), retry: false, throwOnError: false }).data;
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Paper withBorder p="md">
          <Group justify="space-between" mb="xs">
            <Title order={2} size="h5">
              Secure aggregation
            </Title>
            <Badge color={run.masked ? "teal" : "orange"} variant="light" tt="none">
              {run.masked ? "masked" : "inspected"}
            </Badge>
          </Group>
          <Text size="sm">
            {run.masked
              ? "Silos mask what they send, and the masks cancel in the sum. The coordinator learns sums over the silos that reported, and no silo's own numbers."
              : "The coordinator sees what each silo sends: its update and its metrics. Every silo's own policy had to allow that."}
          </Text>
          {plan?.masking && !run.asks && (
            <SimpleGrid cols={2} mt="sm" component="dl" m={0}>
              <Fact name="Largest change of a number">{plan.masking.max_update}</Fact>
              <Fact name="Most rows of a silo">{plan.masking.max_weight}</Fact>
              <Fact name="Least silos in a sum">{plan.quorum}</Fact>
              <Fact name="Silos asked">{plan.silos.length}</Fact>
            </SimpleGrid>
          )}
        </Paper>
        <Paper withBorder p="md">
          <Group justify="space-between" mb="xs">
            <Title order={2} size="h5">
              Differential privacy
            </Title>
            <Badge color={run.privacy || noise ? "teal" : "gray"} variant="light" tt="none">
              {run.privacy ? run.privacy.strength : noise ? "noise" : "none"}
            </Badge>
          </Group>
          {run.privacy ? (
            <>
              <Text size="sm" mb="sm">
                One row of a silo's training rows added or removed changes what leaves it by no more than this. What a run did cost, exactly, stays in
                each silo&apos;s ledger, for it tells how many rows it has.
              </Text>
              <Table aria-label="Epsilon by silo">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Silo</Table.Th>
                    <Table.Th ta="right">Epsilon, at most</Table.Th>
                    <Table.Th ta="right">Delta</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {Object.entries(run.privacy.epsilon).map(([silo, epsilon]) => (
                    <Table.Tr key={silo}>
                      <Table.Td>{silo}</Table.Td>
                      <Table.Td ta="right">{epsilon}</Table.Td>
                      <Table.Td ta="right">{run.privacy?.delta ?? "1 / (10 rows)"}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </>
          ) : run.asks ? (
            <Text size="sm">
              {noise
                ? `Each silo adds noise to its own numbers: what it sends costs each of its rows epsilon ${noise.epsilon} at delta ${noise.delta}, which its ledger pays.`
                : "The sums are exact. Small counts are hidden from whoever reads the answer, which is no proof of privacy."}
            </Text>
          ) : (
            <Text size="sm">
              Silos train without noise. A model can tell something about single rows to whoever attacks it; docs/attacks.md has how much.
            </Text>
          )}
        </Paper>
      </SimpleGrid>
      {app && !run.asks && (
        <Paper withBorder p="md">
          <Title order={2} size="h5" mb="xs">
            What may leave a silo
          </Title>
          <Group gap="xs">
            {[...new Set([...app.leaves, ...(app.masked ?? [])])].map((one) => (
              <Badge key={one} variant="default" tt="none" fw={500}>
                {one}
                {app.masked?.includes(one) && ", in masked sums alone"}
              </Badge>
            ))}
          </Group>
          <Text size="sm" c="dimmed" mt="xs">
            As the app&apos;s septum.toml lists it; each steward has approved these words with the code.
          </Text>
        </Paper>
      )}
      {run.vote && (
        <Alert variant="light" color="gray" title="Vote">
          Silos judge each new model on their own test rows: {Math.round((run.vote.accepts ?? 0) * 100)} % have to accept it.
          {(run.burnt ?? 0) > 0 && ` ${run.burnt} in a row were voted down.`}
        </Alert>
      )}
      <Text size="sm" c="dimmed">
        In a silo, its steward sees what each run has cost:
      </Text>
      <Command>septum silo ledger show --dir ./septum</Command>
    </Stack>
  );
}
