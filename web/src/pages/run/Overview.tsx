/** How far is a run, whom does it wait for, and how good is its model? Live, while it goes on. */
import { Alert, Badge, Box, Button, Group, Paper, Progress, SegmentedControl, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useEffect, useMemo, useState } from "react";
import type { Journal } from "../../api/journal";
import { ENDED, type Run } from "../../api/queries";
import { Chart } from "../../components/Chart";
import { Empty, When } from "../../components/Bits";
import { SiloCell } from "../../components/SiloCell";
import { clock, duration, exactly, figure } from "../../lib/format";
import { curves, METRICS, metricsCsv, type MetricName } from "../../lib/metrics";
import { save } from "../../lib/save";
import { courses, openings, remaining } from "../../lib/silos";
import { words } from "../../lib/words";

export function Overview({ run, journal }: { run: Run; journal: Journal }) {
  const ended = ENDED.includes(run.status);
  return (
    <Stack gap="lg">
      <Standing run={run} journal={journal} />
      <SilosOfRun run={run} journal={journal} />
      {!run.asks && <Curves run={run} journal={journal} ended={ended} />}
      <Happened journal={journal} />
    </Stack>
  );
}

function Standing({ run, journal }: { run: Run; journal: Journal }) {
  const ended = ENDED.includes(run.status);
  const awaited = run.status === "paused" ? [] : run.silos.filter((silo) => silo.awaited).map((silo) => silo.name);
  const left = ended || run.status === "paused" ? undefined : remaining(journal.entries, run.finished_rounds, run.rounds);
  const colour = { finished: "teal", failed: "red", stopped: "gray" }[run.status as string] ?? "cyan";
  const last = journal.entries.at(-1);
  const first = journal.entries[0];
  return (
    <Paper withBorder p="md">
      <Group justify="space-between" mb="xs">
        <Text fw={600} data-testid="rounds">
          {run.asks ? "A question, without training" : ended ? `${run.finished_rounds} of ${run.rounds} rounds` : `Round ${run.round} of ${run.rounds}`}
        </Text>
        <Group gap="xs">
          {left !== undefined && (
            <Text size="sm" c="dimmed">
              about {duration(left)} to go
            </Text>
          )}
          {ended && last && first && (
            <Text size="sm" c="dimmed">
              took {duration(last.at - first.at)}
            </Text>
          )}
          {!ended && (
            <Badge variant="dot" color={journal.mode === "live" ? "teal" : "orange"} tt="none" data-testid="mode">
              {{ live: "live", polling: "asked every 2 s", broken: "trying again", ended: "ended" }[journal.mode]}
            </Badge>
          )}
        </Group>
      </Group>
      <Progress
        value={run.asks && run.status === "finished" ? 100 : (100 * run.finished_rounds) / run.rounds}
        size="lg"
        color={colour}
        striped={!ended}
        animated={!ended && run.status !== "paused"}
        aria-label={run.asks ? run.status : `${run.finished_rounds} of ${run.rounds} rounds`}
      />
      <Group justify="space-between" mt="xs">
        <Text size="sm" c={ended ? "dimmed" : undefined} aria-live="polite">
          {ended
            ? run.metrics
              ? `Last model: ROC-AUC ${figure(run.metrics.roc_auc)}, accuracy ${figure(run.metrics.accuracy)}, log loss ${figure(run.metrics.log_loss)} on ${run.metrics.rows} test rows`
              : run.asks
                ? "No model is made: the silos count."
                : "No model was measured"
            : awaited.length
              ? `Waiting for ${awaited.join(", ")}`
              : run.status === "queued"
                ? "It waits in the queue: its silos have no room for it"
              : run.status === "paused"
                ? "Paused: no work is handed out"
                : "The coordinator combines what came in"}
        </Text>
        {run.attempt > 1 && !ended && (
          <Badge color="orange" variant="light" tt="none">
            attempt {run.attempt}
          </Badge>
        )}
      </Group>
      {run.reason && run.status !== "finished" && (
        <Alert color={run.status === "failed" ? "red" : "yellow"} variant="light" mt="sm" className="wrap-anywhere">
          {run.reason}
        </Alert>
      )}
      {run.status === "finished" && run.reason && (
        <Text size="sm" c="dimmed" mt={4}>
          {run.reason}
        </Text>
      )}
    </Paper>
  );
}

const PRESENCE: Record<Run["silos"][number]["presence"], [now: string, colour: string, then: string]> = {
  invited: ["invited", "indigo", "did not come"],
  active: ["takes part", "teal", "took part"],
  absent: ["away", "orange", "away at the end"],
  refused: ["refuses", "red", "refused"],
};

function SilosOfRun({ run, journal }: { run: Run; journal: Journal }) {
  const found = useMemo(() => courses(journal.entries), [journal.entries]);
  const opened = useMemo(() => openings(journal.entries), [journal.entries]);
  const ended = ENDED.includes(run.status);
  const now = useNow(!ended);
  const since = opened.get(run.round);
  return (
    <section aria-label="Silos">
      <Table.ScrollContainer minWidth={300}>
        <Table aria-label="Silos of this run">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Silo</Table.Th>
              <Table.Th>State</Table.Th>
              {!run.asks && (
                <>
                  <Table.Th ta="right">Last round</Table.Th>
                  <Table.Th ta="right" visibleFrom="sm">
                    Work in it
                  </Table.Th>
                  <Table.Th visibleFrom="sm">Reported</Table.Th>
                </>
              )}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {run.silos.map((silo) => {
              const course = found.get(silo.name);
              const [now_, colour, then] = PRESENCE[silo.presence];
              const text = ended ? then : now_;
              const waits = silo.awaited && !ended && run.status !== "paused";
              return (
                <Table.Tr key={silo.name}>
                  <SiloCell silo={silo} />
                  <Table.Td>
                    <Badge color={waits ? "blue" : colour} variant={waits ? "filled" : "light"} tt="none">
                      {waits ? (since && run.status === "training" ? (now - since < 1 ? "works" : `works, ${duration(now - since)}`) : "awaited") : text}
                    </Badge>
                  </Table.Td>
                  {!run.asks && (
                    <>
                      <Table.Td ta="right">{course ? course.round : "–"}</Table.Td>
                      <Table.Td ta="right" visibleFrom="sm">
                        {course?.workS ? duration(course.workS) : "–"}
                      </Table.Td>
                      <Table.Td visibleFrom="sm">{course ? <When unix={course.at} relative /> : "–"}</Table.Td>
                    </>
                  )}
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </section>
  );
}

/** The time, each second while it matters; Unix seconds. */
function useNow(ticking: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}

function Curves({ run, journal, ended }: { run: Run; journal: Journal; ended: boolean }) {
  const [second, setSecond] = useState<MetricName>("log_loss");
  const [each, setEach] = useState("all");
  const measured = useMemo(
    () => Object.fromEntries((Object.keys(METRICS) as MetricName[]).map((name) => [name, curves(journal.entries, name)])) as Record<MetricName, ReturnType<typeof curves>>,
    [journal.entries],
  );
  const shown = useMemo(() => {
    const of = (name: MetricName) => (each === "each" ? [measured[name].all, ...measured[name].silos] : [measured[name].all]);
    return { first: of("roc_auc"), second: of(second) };
  }, [measured, each, second]);
  const has = measured.log_loss.all.points.length > 0;
  if (!has)
    return (
      <Empty title={ended ? "No model of this run was measured" : "No model was measured yet"} command={`septum metric list ${run.id}`}>
        {run.privacy
          ? "In a run with differential privacy the silos measure no model, or the last one with noise: each look at test rows costs privacy."
          : ended
            ? "It ended before the silos had measured one."
            : "The curves begin with the first round's end."}
      </Empty>
    );
  return (
    <section aria-label="Metrics">
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h4">
          Metrics
        </Title>
        <Group gap="sm">
          {measured.log_loss.silos.length > 0 && (
            <SegmentedControl size="xs" value={each} onChange={setEach} aria-label="Whose" data={[{ value: "all", label: "All silos" }, { value: "each", label: "Each silo" }]} />
          )}
          <SegmentedControl size="xs" value={second} onChange={(value) => setSecond(value as MetricName)} aria-label="Second chart" data={[{ value: "log_loss", label: "Log loss" }, { value: "accuracy", label: "Accuracy" }]} />
          <Button variant="default" size="compact-sm" onClick={() => save(`${run.id}-metrics.csv`, new Blob([metricsCsv([{ id: run.id, entries: journal.entries }])], { type: "text/csv" }))}>
            All metrics as CSV
          </Button>
        </Group>
      </Group>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        {measured.roc_auc.all.points.length > 0 && <Chart title="ROC-AUC" curves={shown.first} file={`${run.id}-roc-auc`} group={run.id} />}
        <Chart title={METRICS[second].title} curves={shown.second} file={`${run.id}-${second.replace("_", "-")}`} group={run.id} />
      </SimpleGrid>
      <Text size="xs" c="dimmed" mt="xs">
        On the test rows of all silos together, weighted by rows.
        {run.masked && " Masked: the coordinator learns sums over the silos, so there is no curve of a single silo."}
      </Text>
    </section>
  );
}

const SHOWN = 12;
const STEPS = new Set(["silo_reported", "stage_opened", "stage_closed", "model_made"]);

function Happened({ journal }: { journal: Journal }) {
  const [all, setAll] = useState(false);
  const told = useMemo(() => journal.entries.map((entry) => ({ ...entry, ...words(entry.fact) })).reverse(), [journal.entries]);
  const problems = told.filter((entry) => entry.tone === "bad");
  const rest = told.filter((entry) => entry.tone !== "bad" && !STEPS.has(entry.fact.kind));
  const shown = all ? told.slice(0, 500) : [...problems.slice(0, SHOWN), ...rest.slice(0, SHOWN)];
  if (!told.length) return null;
  return (
    <section aria-label="What happened">
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h4">
          What happened
        </Title>
        <Button variant="subtle" size="compact-sm" onClick={() => setAll(!all)}>
          {all ? "The gist" : `All ${told.length} entries`}
        </Button>
      </Group>
      <Box component="ol" m={0} p={0} style={{ listStyle: "none" }}>
        {shown.map((entry) => (
          <Group key={entry.seq} component="li" gap="md" wrap="nowrap" align="baseline" py={3}>
            <Text size="xs" c="dimmed" miw={70} title={exactly(entry.at)}>
              {clock(entry.at)}
            </Text>
            <Text size="sm" c={entry.tone === "bad" ? "red" : undefined} className="wrap-anywhere">
              {entry.text}
            </Text>
          </Group>
        ))}
      </Box>
    </section>
  );
}
