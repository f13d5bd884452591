/** What runs now, and what waits for me? */
import { Anchor, Button, Card, Group, Progress, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import { type Run, useApps, useRuns, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, RunStatus, Waiting } from "../components/Bits";
import { figure } from "../lib/format";
import { RunsTable } from "./RunsTable";
import { Waits } from "./Waits";

const AT_WORK = ["queued", "gathering", "preparing", "training", "evaluating", "paused"] as const;

export function Home() {
  const { who, can } = useSession();
  const running = useRuns({ status: [...AT_WORK] }, 12);
  const recent = useRuns({ status: ["finished", "stopped", "failed"] }, 5);
  const silos = useSilos(can("silo.read"));
  const apps = useApps(can("app.read"));
  const online = silos.data?.filter((silo) => silo.status === "online") ?? [];
  const none = running.data?.items.length === 0 && recent.data?.items.length === 0;
  return (
    <>
      <Heading title={`Hello, ${who?.full_name.split(" ")[0] === "The" ? who.name : who?.full_name.split(" ")[0] || who?.name}`}>
        {can("run.submit") && (
          <Button component={Link} to="/runs/new">
            New run
          </Button>
        )}
      </Heading>
      <Stack gap="xl">
        <SimpleGrid cols={{ base: 2, md: 4 }}>
          <Figure name="Runs at work" value={running.data?.items.length} to="/runs?status=training&status=evaluating&status=preparing&status=gathering&status=queued&status=paused" />
          {can("silo.read") && <Figure name="Silos online" value={online.length} of={silos.data?.filter((one) => one.status !== "revoked").length} to="/silos" />}
          {can("app.read") && <Figure name="App packages" value={apps.data?.length} to="/apps" />}
          <Figure name="Runs that ended" value={recent.data && (recent.data.next ? "5+" : recent.data.items.length)} to="/runs?status=finished&status=stopped&status=failed" />
        </SimpleGrid>
        <Waits />
        <Failure error={running.error} retry={() => void running.refetch()} />
        {running.isPending && <Waiting lines={3} />}
        {(running.data?.items.length ?? 0) > 0 && (
          <section aria-label="At work">
            <Title order={2} size="h4" mb="sm">
              At work
            </Title>
            <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }}>
              {running.data?.items.map((run) => <AtWork key={run.id} run={run} />)}
            </SimpleGrid>
          </section>
        )}
        {(recent.data?.items.length ?? 0) > 0 && (
          <section aria-label="Ended last">
            <Title order={2} size="h4" mb="sm">
              Ended last
            </Title>
            <RunsTable runs={recent.data?.items ?? []} />
          </section>
        )}
        {none && (
          <Empty
            title="No run yet"
            command="septum run submit APP --watch"
            action={can("run.submit") && <Button component={Link} to="/runs/new">New run</Button>}
          >
            A run trains an app over the silos that you choose. No record leaves a silo.
          </Empty>
        )}
      </Stack>
    </>
  );
}

function Figure({ name, value, of, to }: { name: string; value: number | string | undefined; of?: number; to: string }) {
  return (
    <Card withBorder padding="md" component={Link} to={to}>
      <Text size="sm" c="dimmed">
        {name}
      </Text>
      <Text fz={26} fw={650} lh={1.2}>
        {value ?? "–"}
        {of !== undefined && (
          <Text span size="sm" c="dimmed" fw={400}>
            {" "}
            of {of}
          </Text>
        )}
      </Text>
    </Card>
  );
}

function AtWork({ run }: { run: Run }) {
  const awaited = run.silos.filter((silo) => silo.awaited);
  return (
    <Card withBorder padding="md">
      <Group justify="space-between" wrap="nowrap" mb={4}>
        <Anchor component={Link} to={`/runs/${run.id}`} fw={600} truncate>
          {run.name}
        </Anchor>
        <RunStatus status={run.status} />
      </Group>
      <Text size="sm" c="dimmed" mb="xs">
        Round {run.round} of {run.rounds}
        {run.metrics && ` · ROC-AUC ${figure(run.metrics.roc_auc)}`}
      </Text>
      <Progress value={(100 * run.finished_rounds) / run.rounds} aria-label={`${run.finished_rounds} of ${run.rounds} rounds`} mb="xs" />
      <Text size="sm" c="dimmed" truncate>
        {run.status === "paused" ? "No work is handed out" : awaited.length ? `Waiting for ${awaited.map((silo) => silo.name).join(", ")}` : "Waiting for nobody"}
      </Text>
    </Card>
  );
}
