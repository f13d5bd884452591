/** Where does the time of a run go? The whole of it to zoom into, then round by round, what is slow or failed first. */
import { Alert, Anchor, Box, Button, CloseButton, Group, Pagination, Paper, SegmentedControl, Stack, Table, Text, Tooltip } from "@mantine/core";
import { useCallbackRef, useDebouncedCallback } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { memo, useDeferredValue, useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { api, type Schemas, told } from "../../api/client";
import { ENDED, type Run } from "../../api/queries";
import { useSession } from "../../api/session";
import { Empty, Failure, Waiting } from "../../components/Bits";
import { duration } from "../../lib/format";
import { type Attempt, type Bar, COORDINATOR, lanes, overlapping, type Part, type Span, troubled, whole, worstFirst } from "../../lib/timeline";
import { DOING, spoken } from "./doing";
import { Gantt } from "./Gantt";

const PAGE = 40; // rounds that are asked for at once
const CARDS = 10; // rounds that are drawn in detail at once
const FRESH_MS = 3_000;
const WRITE_MS = 300;
const SAME_S = 1e-4; // between what an address says and when a span began
const SHORTEST_S = 0.02;

type Page = Schemas["TimelinePage"];

/** All rounds. What was told is kept, but for the last two pages: they may have gone on, or a lost model took the run back. */
function useTimeline(run: Run) {
  const queries = useQueryClient();
  const queryKey = ["timeline", run.id];
  return useQuery({
    queryKey,
    queryFn: async () => {
      const pages = (queries.getQueryData<Page[]>(queryKey) ?? []).slice(0, -2);
      let after = pages.at(-1)?.next ?? "";
      do {
        const page = await told(api.GET("/api/v1/runs/{run_id}/timeline", { params: { path: { run_id: run.id }, query: { limit: PAGE, after } } }));
        pages.push(page);
        after = page.next ?? "";
      } while (after);
      return pages;
    },
    refetchInterval: ENDED.includes(run.status) ? false : FRESH_MS,
  });
}

/** The time of an attempt by silo, the longest first; a silo with a problem goes before all others. */
export function ordered(attempt: Attempt): Attempt["silos"] {
  const rank = (line: Attempt["silos"][number]): number => (line.problem ? Number.POSITIVE_INFINITY : (line.own_s ?? 0));
  return [...attempt.silos].sort((one, other) => rank(other) - rank(one) || one.silo.localeCompare(other.silo));
}

export function Timeline({ run }: { run: Run }) {
  const [query, setQuery] = useSearchParams();
  const pages = useTimeline(run);
  const attempts = useMemo(() => (pages.data ?? []).flatMap((page) => page.items).flatMap((line) => line.attempts), [pages.data]);
  const zero = run.created_at;
  const [zoom, setZoom] = useState<Part | null>(() => {
    const [from, to] = [query.get("from"), query.get("to")];
    return from !== null && to !== null && Number(from) < Number(to) ? [zero + Number(from), zero + Number(to)] : null;
  });
  const change = useCallbackRef((to: Record<string, string>): void => // the same one for good: the rounds below are not drawn again for it
    setQuery(
      (before) => {
        const next = new URLSearchParams(before);
        for (const [name, value] of Object.entries(to)) {
          if (value) next.set(name, value);
          else next.delete(name);
        }
        return next;
      },
      { replace: true },
    ),
  );
  const write = useDebouncedCallback((part: Part | null) => {
    change({ from: part ? (part[0] - zero).toFixed(3) : "", to: part ? (part[1] - zero).toFixed(3) : "", page: "" });
  }, WRITE_MS);
  const found = useMemo(() => (query.get("span") ? barAt(attempts, query.get("silo") || COORDINATOR, zero + Number(query.get("span"))) : undefined), [attempts, query, zero]);
  const all = useMemo(() => (attempts.length ? whole(attempts) : ([0, 1] as const)), [attempts]);
  const part: Part = zoom ?? all;
  const settled = useDeferredValue(zoom); // the lanes follow the wheel, the rounds below come after
  const inPart = useMemo(() => overlapping(attempts, settled ?? all), [attempts, settled, all]);
  const select = useCallbackRef((bar: Bar | undefined): void =>
    change({
      silo: bar && bar.lane !== COORDINATOR ? bar.lane : "",
      round: bar ? String(bar.attempt.round) : "",
      span: bar ? (bar.span.start - zero).toFixed(6) : "",
    }),
  );
  if (pages.isPending) return <Waiting />;
  if (pages.error && !pages.data) return <Failure error={pages.error} retry={() => void pages.refetch()} />;
  if (!attempts.length)
    return (
      <Empty title="Nothing has taken time yet" command={`septum run timeline ${run.id}`}>
        The first line is there when the silos are asked for something.
      </Empty>
    );
  const show = (to: Part): void => {
    const next = to[1] - to[0] >= all[1] - all[0] ? null : to;
    setZoom(next);
    write(next);
  };
  const stages = [...new Set(attempts.flatMap((one) => [...one.coordinator, ...one.silos.flatMap((line) => line.spans)].map((span) => span.doing)))];
  return (
    <Stack>
      <Group gap="md" style={{ rowGap: 4 }}>
        {stages.map((doing) => (
          <Group gap={6} key={doing} wrap="nowrap">
            <Box w={12} h={12} style={{ borderRadius: 3, background: DOING[doing].colour }} />
            <Text size="xs">{DOING[doing].title}</Text>
          </Group>
        ))}
      </Group>
      <Gantt attempts={attempts} part={part} zero={zero} selected={found} show={show} select={select} />
      <Rounds attempts={inPart} zoomed={zoom !== null} order={query.get("order") === "time" ? "time" : "worst"} wanted={Number(query.get("page")) || 1} change={change} select={select} />
      {found && <Selected run={run} bar={found} close={() => select(undefined)} show={() => show([found.span.start, found.span.start + Math.max(found.span.duration_s, SHORTEST_S)])} />}
    </Stack>
  );
}

type RoundsProps = { attempts: readonly Attempt[]; zoomed: boolean; order: "time" | "worst"; wanted: number; change: (to: Record<string, string>) => void; select: Select };

/** The rounds of the part that is shown, some at a time. */
const Rounds = memo(function Rounds({ attempts, zoomed, order, wanted, change, select }: RoundsProps) {
  const shown = order === "worst" ? worstFirst(attempts) : attempts;
  const count = Math.ceil(shown.length / CARDS);
  const page = Math.min(Math.max(wanted, 1), Math.max(count, 1));
  return (
    <>
      <Slowest attempts={attempts} />
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {zoomed ? "Of the part that is shown: " : ""}
          {attempts.length} stages; {attempts.filter(troubled).length} of them failed, or one silo was much slower than the others
        </Text>
        <SegmentedControl
          size="xs"
          value={order}
          onChange={(value) => change({ order: value === "time" ? "time" : "", page: "" })}
          aria-label="Order of the rounds"
          data={[{ value: "worst", label: "Failed and slow first" }, { value: "time", label: "In time" }]}
        />
      </Group>
      {shown.slice((page - 1) * CARDS, page * CARDS).map((attempt) => (
        <Lines key={`${attempt.round} ${attempt.stage} ${attempt.attempt} ${attempt.start}`} attempt={attempt} select={select} />
      ))}
      {count > 1 && <Pagination total={count} value={page} onChange={(next) => change({ page: String(next) })} getControlProps={(control) => ({ "aria-label": control })} />}
    </>
  );
});

/** The span of a lane that began at a moment, or next to it: some take less than a millisecond. */
export function barAt(attempts: readonly Attempt[], lane: string, start: number): Bar | undefined {
  const off = (bar: Bar): number => Math.abs(bar.span.start - start);
  return lanes(attempts)
    .find((one) => one.name === lane)
    ?.bars.filter((bar) => off(bar) < SAME_S)
    .sort((one, other) => off(one) - off(other))[0];
}

/** The span that was chosen, and where it leads: to what its silo logged in that round, and to how busy its machine was. */
function Selected({ run, bar, close, show }: { run: Run; bar: Bar; close: () => void; show: () => void }) {
  const { can } = useSession();
  const silo = bar.lane === COORDINATOR ? "" : `silo=${encodeURIComponent(bar.lane)}&`;
  const from = (bar.attempt.start - run.created_at).toFixed(3);
  const to = (bar.attempt.start + bar.attempt.duration_s - run.created_at).toFixed(3);
  return (
    <Paper withBorder shadow="md" p="sm" pos="sticky" bottom={8} style={{ zIndex: 5 }} component="section" aria-label="The chosen span">
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <Stack gap={4}>
          <Text size="sm" fw={600} className="wrap-anywhere">
            {spoken(bar)}
          </Text>
          <Group gap="md">
            {silo && can("log.read") && (
              <Anchor component={Link} size="sm" to={`/runs/${run.id}/logs?${silo}round=${bar.attempt.round}`}>
                Its log of this round
              </Anchor>
            )}
            <Anchor component={Link} size="sm" to={`/runs/${run.id}/system?${silo}round=${bar.attempt.round}&from=${from}&to=${to}`}>
              {silo ? "How busy its machine was" : "How busy the silos were"}
            </Anchor>
            <Button size="compact-xs" variant="default" onClick={show}>
              Zoom to it
            </Button>
          </Group>
        </Stack>
        <CloseButton aria-label="Choose no span" onClick={close} />
      </Group>
    </Paper>
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

type Select = (bar: Bar) => void;

const Lines = memo(function Lines({ attempt, select }: { attempt: Attempt; select: Select }) {
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
        <Line select={select} name={COORDINATOR} spans={attempt.coordinator} attempt={attempt} />
        {ordered(attempt).map((line) => (
          <Line key={line.silo} select={select} name={line.silo} spans={line.spans} attempt={attempt} slow={line.slow} problem={line.problem} />
        ))}
      </Stack>
    </Paper>
  );
});

type LineProps = { select: Select; name: string; spans: readonly Span[]; attempt: Attempt; slow?: boolean; problem?: string };

function Line({ select, name, spans, attempt, slow = false, problem = "" }: LineProps) {
  const length = Math.max(attempt.duration_s, 1e-3);
  return (
    <Group gap="sm" wrap="nowrap">
      <Text size="xs" w={104} truncate c={problem ? "red" : slow ? "orange" : undefined} fw={slow || problem ? 600 : 400} title={name}>
        {name}
        {slow && " · slow"}
      </Text>
      <Box pos="relative" h={16} style={{ flex: 1, background: "var(--mantine-color-default-hover)", borderRadius: 3, overflow: "hidden" }}>
        {spans.map((span) => {
          const bar: Bar = { lane: name, span, attempt, problem: span.problem ?? "", slow };
          return (
            <Tooltip key={`${span.doing} ${span.start}`} label={spoken(bar)}>
              <Box
                component="button"
                type="button"
                aria-label={spoken(bar)}
                onClick={() => select(bar)}
                pos="absolute"
                h={16}
                p={0}
                style={{
                  border: 0,
                  cursor: "pointer",
                  left: `${(100 * (span.start - attempt.start)) / length}%`,
                  width: `max(${(100 * span.duration_s) / length}%, 1px)`,
                  background: DOING[span.doing].colour,
                  opacity: span.doing === "wait" ? 0.45 : 1,
                }}
              />
            </Tooltip>
          );
        })}
      </Box>
    </Group>
  );
}
