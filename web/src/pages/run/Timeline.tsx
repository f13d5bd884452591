/** Where does the time of a run go? A line for each silo and one for the coordinator, by round, the slow ones first. */
import { Alert, Box, Button, Group, Paper, SegmentedControl, Stack, Table, Text, Tooltip } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useNavigate } from "react-router";
import { api, type Schemas, told } from "../../api/client";
import type { Run } from "../../api/queries";
import { useSession } from "../../api/session";
import { ENDED, Empty, Failure, Waiting } from "../../components/Bits";
import { duration } from "../../lib/format";

type Attempt = Schemas["AttemptLine"];
type Span = Schemas["Span"];
type Doing = Schemas["Doing"];

const PAGE = 50;
const FRESH_MS = 3_000;

/** What is done in a span, in words, and its colour: work is strong, waiting is pale. */
export const DOING: Record<Doing, { title: string; colour: string }> = {
  receive: { title: "receives the model", colour: "#4dabf7" },
  prepare: { title: "prepares its data", colour: "#9775fa" },
  train: { title: "trains", colour: "#0c8599" },
  evaluate: { title: "measures the model", colour: "#2f9e44" },
  protect: { title: "masks, adds noise, checks", colour: "#e8590c" },
  send: { title: "sends its update", colour: "#1971c2" },
  other: { title: "what it does not account for", colour: "#868e96" },
  wait: { title: "waits for others", colour: "#adb5bd" },
  unmask: { title: "takes the masks off", colour: "#f08c00" },
  aggregate: { title: "combines the updates", colour: "#d6336c" },
  pause: { title: "paused", colour: "#ffd43b" },
};

/** The time of an attempt by silo, the longest first; a silo with a problem goes before all others. */
export function ordered(attempt: Attempt): Attempt["silos"] {
  const rank = (line: Attempt["silos"][number]): number => (line.problem ? Number.POSITIVE_INFINITY : (line.own_s ?? 0));
  return [...attempt.silos].sort((one, other) => rank(other) - rank(one) || one.silo.localeCompare(other.silo));
}

export function Timeline({ run }: { run: Run }) {
  const ended = ENDED.includes(run.status);
  const [which, setWhich] = useState("all");
  const pages = useInfiniteQuery({
    queryKey: ["timeline", run.id],
    queryFn: ({ pageParam }) =>
      told(api.GET("/api/v1/runs/{run_id}/timeline", { params: { path: { run_id: run.id }, query: { limit: PAGE, after: pageParam } } })),
    initialPageParam: "",
    getNextPageParam: (last) => last.next ?? undefined,
    refetchInterval: ended ? false : FRESH_MS,
  });
  const attempts = useMemo(() => (pages.data?.pages ?? []).flatMap((page) => page.items).flatMap((line) => line.attempts), [pages.data]);
  const troubled = attempts.filter((one) => one.problem || one.silos.some((line) => line.problem || line.slow));
  const shown = which === "troubled" ? troubled : attempts;
  const stages = [...new Set(attempts.flatMap((one) => [...one.coordinator, ...one.silos.flatMap((line) => line.spans)].map((span) => span.doing)))];
  if (pages.isPending) return <Waiting />;
  if (pages.error && !pages.data) return <Failure error={pages.error} retry={() => void pages.refetch()} />;
  if (!attempts.length)
    return (
      <Empty title="Nothing has taken time yet" command={`septum run timeline ${run.id}`}>
        The first line is there when the silos are asked for something.
      </Empty>
    );
  return (
    <Stack>
      <Group justify="space-between">
        <Group gap="md" style={{ rowGap: 4 }}>
          {stages.map((doing) => (
            <Group gap={6} key={doing} wrap="nowrap">
              <Box w={12} h={12} style={{ borderRadius: 3, background: DOING[doing].colour }} />
              <Text size="xs">{DOING[doing].title}</Text>
            </Group>
          ))}
        </Group>
        <SegmentedControl
          size="xs"
          value={which}
          onChange={setWhich}
          aria-label="Which rounds"
          data={[{ value: "all", label: "All" }, { value: "troubled", label: `Slow or failed: ${troubled.length}` }]}
        />
      </Group>
      <Slowest attempts={attempts} />
      {which === "troubled" && !troubled.length && <Text c="dimmed">No round of these was held up by one silo, and none failed.</Text>}
      {shown.map((attempt) => (
        <Lines key={`${attempt.round} ${attempt.stage} ${attempt.attempt}`} run={run} attempt={attempt} />
      ))}
      {pages.hasNextPage && (
        <Group justify="center">
          <Button variant="default" onClick={() => void pages.fetchNextPage()} loading={pages.isFetchingNextPage}>
            Later rounds
          </Button>
        </Group>
      )}
    </Stack>
  );
}

/** How much of all the time each silo was waited for, over the rounds that are shown. */
function Slowest({ attempts }: { attempts: readonly Attempt[] }) {
  const found = new Map<string, { slow: number; total: number; rounds: number }>();
  for (const attempt of attempts)
    for (const line of attempt.silos) {
      const before = found.get(line.silo) ?? { slow: 0, total: 0, rounds: 0 };
      found.set(line.silo, {
        slow: before.slow + (line.slow ? 1 : 0),
        total: before.total + (line.own_s ?? 0),
        rounds: before.rounds + (line.own_s === null || line.own_s === undefined ? 0 : 1),
      });
    }
  const rows = [...found].sort(([, one], [, other]) => other.total - one.total);
  return (
    <Table.ScrollContainer minWidth={300}>
      <Table aria-label="By silo">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Silo</Table.Th>
            <Table.Th ta="right">A stage, mean</Table.Th>
            <Table.Th ta="right">All of them</Table.Th>
            <Table.Th ta="right" visibleFrom="xs">
              Much slower than the others
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map(([silo, one]) => (
            <Table.Tr key={silo}>
              <Table.Td>{silo}</Table.Td>
              <Table.Td ta="right">{one.rounds ? duration(one.total / one.rounds) : "–"}</Table.Td>
              <Table.Td ta="right">{duration(one.total)}</Table.Td>
              <Table.Td ta="right" visibleFrom="xs">
                {one.slow ? `${one.slow} times` : "never"}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const NAMES: Record<Attempt["stage"], string> = { prepare: "Preparation", train: "Training", evaluate: "Evaluation" };

function Lines({ run, attempt }: { run: Run; attempt: Attempt }) {
  const title = attempt.stage === "train" ? `Round ${attempt.round}` : attempt.round ? `${NAMES[attempt.stage]} of round ${attempt.round}` : NAMES[attempt.stage];
  return (
    <Paper withBorder p="sm" component="section" aria-label={title}>
      <Group justify="space-between" mb={6}>
        <Text size="sm" fw={600}>
          {title}
          {attempt.attempt > 1 && `, attempt ${attempt.attempt}`}
        </Text>
        <Text size="sm" c="dimmed">
          {duration(attempt.duration_s)}
          {attempt.under_way && " so far"}
          {attempt.under_way && attempt.waits_for?.length ? `, waits for ${attempt.waits_for.join(", ")}` : ""}
        </Text>
      </Group>
      {attempt.problem && (
        <Alert color="red" variant="light" py={4} mb={6}>
          {attempt.problem}
        </Alert>
      )}
      <Stack gap={4}>
        <Line run={run} name="coordinator" spans={attempt.coordinator} attempt={attempt} />
        {ordered(attempt).map((line) => (
          <Line key={line.silo} run={run} name={line.silo} spans={line.spans} attempt={attempt} slow={line.slow} problem={line.problem} />
        ))}
      </Stack>
    </Paper>
  );
}

type LineProps = { run: Run; name: string; spans: readonly Span[]; attempt: Attempt; slow?: boolean; problem?: string };

function Line({ run, name, spans, attempt, slow = false, problem = "" }: LineProps) {
  const navigate = useNavigate();
  const { can } = useSession();
  const whole = Math.max(attempt.duration_s, 1e-3);
  const logs = can("log.read") && name !== "coordinator";
  return (
    <Group gap="sm" wrap="nowrap">
      <Text size="xs" w={104} truncate c={problem ? "red" : slow ? "orange" : undefined} fw={slow || problem ? 600 : 400} title={name}>
        {name}
        {slow && " · slow"}
      </Text>
      <Box pos="relative" h={16} style={{ flex: 1, background: "var(--mantine-color-default-hover)", borderRadius: 3, overflow: "hidden" }}>
        {spans.map((span) => (
          <Tooltip
            key={`${span.doing} ${span.start}`}
            label={`${DOING[span.doing].title}: ${duration(span.duration_s)}${span.under_way ? " so far" : ""}${span.problem ? `, ${span.problem}` : ""}`}
          >
            <Box
              component="button"
              type="button"
              aria-label={`${name} ${DOING[span.doing].title}, ${duration(span.duration_s)}`}
              tabIndex={logs ? 0 : -1}
              onClick={() => logs && void navigate(`/runs/${run.id}/logs?silo=${name}&round=${attempt.round}`)}
              pos="absolute"
              h={16}
              p={0}
              style={{
                border: 0,
                cursor: logs ? "pointer" : "default",
                left: `${(100 * (span.start - attempt.start)) / whole}%`,
                width: `max(${(100 * span.duration_s) / whole}%, 1px)`,
                background: DOING[span.doing].colour,
                opacity: span.doing === "wait" ? 0.45 : 1,
              }}
            />
          </Tooltip>
        ))}
      </Box>
    </Group>
  );
}
