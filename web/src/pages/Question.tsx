/** What did the silos answer? How far the question has come, who refused and why, what it cost, and the numbers. */
import { Alert, Anchor, Badge, Button, Group, Loader, Progress, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { api, told } from "../api/client";
import { useJournal } from "../api/journal";
import { ENDED, planQuery, type Run, runQuery } from "../api/queries";
import { useSession } from "../api/session";
import { Copy, Empty, Fact, Failure, Heading, Part, RunStatus, Waiting, When } from "../components/Bits";
import { SiloCell } from "../components/SiloCell";
import { type Answer, below, count, csvOf, HIDDEN, label, labels, moment, number, tested } from "../lib/answer";
import { save } from "../lib/save";
import type { Query, QueryColumn } from "../lib/question";

export function QuestionPage() {
  const { id = "" } = useParams();
  const run = useQuery(runQuery(id));
  const plan = useQuery(planQuery(id));
  const made = useQuery({ ...answerQuery(id), enabled: run.data?.status === "finished" });
  useJournal(id, run.data !== undefined && ENDED.includes(run.data.status)); // what happens has the run asked for again
  if (run.isPending || plan.isPending) return <Waiting />;
  const query = plan.data?.query;
  if (!run.data || !query)
    return (
      <Stack>
        <Heading title="Statistics" />
        <Failure error={run.error ?? plan.error} retry={() => void run.refetch()} />
        <Empty title={run.data ? "This run trains a model" : "This question is not to be seen"} command="septum stats list" action={run.data && <Button component={Link} to={`/runs/${id}`}>To the run</Button>}>
          {run.data ? "It asks for no statistics." : "It may be of another coordinator, or of a project that you have no role in."}
        </Empty>
      </Stack>
    );
  const answer = made.data;
  return (
    <>
      <Heading
        title={run.data.name}
        shown={<RunStatus status={run.data.status} />}
        below={
          <Group gap="md" style={{ rowGap: 0 }} component="span" display="inline-flex">
            <span>
              {run.data.app.name} {run.data.app.version}
            </span>
            {run.data.project && <span>project {run.data.project}</span>}
            <span>
              asked <When unix={run.data.created_at} />
              {run.data.submitter && ` by ${run.data.submitter}`}
            </span>
            <Group gap={4} wrap="nowrap" component="span" display="inline-flex">
              <span className="mono whole">{run.data.id}</span>
              <Copy text={run.data.id} label="Copy the run's id" />
            </Group>
            <Anchor component={Link} underline="always" to={`/runs/${id}/timeline`}>
              timeline and logs
            </Anchor>
          </Group>
        }
      >
        <Stop run={run.data} />
        {answer && (
          <Button variant="default" onClick={() => save(`${id}.csv`, new Blob([csvOf(query, answer)], { type: "text/csv" }))}>
            Download as CSV
          </Button>
        )}
      </Heading>
      <Stack gap="lg">
        <Failure error={made.error} retry={() => void made.refetch()} />
        <Standing run={run.data} answered={answer !== undefined} />
        {answer && <Numbers query={query} answer={answer} />}
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
          <Silos run={run.data} answer={answer} />
          <Price query={query} run={run.data} answer={answer} />
        </SimpleGrid>
      </Stack>
    </>
  );
}

/** The answer of a question that has finished: one entry of its journal. */
const answerQuery = (id: string) =>
  queryOptions({
    queryKey: ["answer", id],
    queryFn: async (): Promise<Answer> => {
      const params = { path: { run_id: id }, query: { kind: ["statistics_made"] } };
      const fact = (await told(api.GET("/api/v1/runs/{run_id}/journal", { params }))).items[0]?.fact;
      if (fact?.kind !== "statistics_made") throw new Error(`run ${id} has finished without an answer`);
      return fact.answer;
    },
    staleTime: Infinity,
  });

function Stop({ run }: { run: Run }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const stop = useMutation({
    mutationFn: () => told(api.POST("/api/v1/runs/{run_id}/stop", { params: { path: { run_id: run.id } } })),
    onSuccess: (view) => queries.setQueryData(["run", run.id], view),
  });
  if (!can("run.steer") || ENDED.includes(run.status)) return null;
  return (
    <>
      <Button color="red" variant="light" onClick={() => stop.mutate()} loading={stop.isPending}>
        Stop
      </Button>
      <Failure error={stop.error} />
    </>
  );
}

/** What is waited for, or why there is no answer. */
function Standing({ run, answered }: { run: Run; answered: boolean }) {
  const awaited = run.silos.filter((silo) => silo.awaited).map((silo) => silo.name);
  if (answered) return null;
  if (!ENDED.includes(run.status))
    return (
      <Alert variant="light" color={run.status === "paused" ? "yellow" : "blue"} aria-live="polite" icon={run.status === "paused" ? undefined : <Loader size="sm" aria-hidden />} title={run.status === "paused" ? "It is paused" : "The silos are asked"}>
        {run.reason || (awaited.length ? `Waiting for ${awaited.join(", ")}.` : "Their numbers are added up.")}
      </Alert>
    );
  if (run.status === "finished") return <Waiting lines={3} />;
  return (
    <Alert variant="light" color={run.status === "failed" ? "red" : "gray"} title="There is no answer" className="wrap-anywhere">
      {run.reason || (run.status === "stopped" ? "The question was stopped." : "No reason was given.")}
    </Alert>
  );
}

const STATES: Record<Run["silos"][number]["presence"], [text: string, colour: string]> = {
  invited: ["asked", "indigo"],
  active: ["takes part", "teal"],
  absent: ["away", "orange"],
  refused: ["refused", "red"],
};

function Silos({ run, answer }: { run: Run; answer: Answer | undefined }) {
  return (
    <Part title="Silos">
      <Table aria-label="Silos that were asked">
        <Table.Tbody>
          {run.silos.map((silo) => {
            const counted = answer?.silos.includes(silo.name) ?? false;
            const [text, colour] = counted ? ["answered", "teal"] : STATES[silo.presence];
            return (
              <Table.Tr key={silo.name}>
                <SiloCell silo={silo} />
                <Table.Td ta="right">
                  <Badge color={colour} variant="light" tt="none">
                    {text}
                  </Badge>
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
      {run.silos.some((silo) => silo.presence === "refused") && (
        <Text size="sm" c="dimmed" mt="xs">
          A rule of a silo&apos;s policy is for its steward to change.
        </Text>
      )}
    </Part>
  );
}

/** What the answer costs in privacy, and how small counts are kept from it. */
function Price({ query, run, answer }: { query: Query; run: Run; answer: Answer | undefined }) {
  const over = ENDED.includes(run.status);
  const noise = query.noise;
  const cell = query.min_cell ?? 5;
  return (
    <Part title="Privacy">
      {noise ? (
        <>
          <SimpleGrid cols={2} component="dl" m={0} spacing="sm">
            <Fact name="Epsilon, of each row">{noise.epsilon}</Fact>
            <Fact name="Delta">{noise.delta}</Fact>
            <Fact name={answer ? "Paid by" : over ? "Paid by, at most" : "Will be paid by"}>{(answer?.silos ?? run.silos.filter((silo) => silo.presence !== "refused").map((silo) => silo.name)).join(", ") || "nobody"}</Fact>
            {answer && <Fact name="A count is moved by, about">{number(Number((answer.count_error ?? 0).toPrecision(3)))} people</Fact>}
          </SimpleGrid>
          <Text size="sm" c="dimmed" mt="sm">
            Each silo adds noise before it masks its numbers, and its ledger pays. Whoever has this answer may look at it as often as they like; to ask again is to pay
            again.{answer && below(answer) && " A count below 0 is noise: few people, or none."}
          </Text>
        </>
      ) : (
        <Text size="sm">
          {cell === 1 ? "Every count is told." : `Counts of 1 to ${cell - 1} people are hidden, and what would give them back.`} The sums are exact and cost no epsilon. Each
          silo has noted over whom it was added up: a later question has to be over the same silos, or over three more.
        </Text>
      )}
    </Part>
  );
}

function Numbers({ query, answer }: { query: Query; answer: Answer }) {
  const columns = new Map(query.columns.map((one) => [one.name, one]));
  const of = (name: string): QueryColumn => columns.get(name) as QueryColumn;
  const noisy = Boolean(query.noise);
  const wide = query.columns.some((one) => one.moments);
  return (
    <>
      <Part title={`${answer.rows === null ? "Too few" : answer.rows} rows of ${answer.silos.join(", ")} together`}>
        <Table.ScrollContainer minWidth={300}>
          <Table aria-label="Columns" className="figures">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Column</Table.Th>
                <Table.Th visibleFrom="sm">Unit</Table.Th>
                <Table.Th ta="right">Present</Table.Th>
                <Table.Th ta="right">Missing</Table.Th>
                {wide && <Table.Th ta="right">Mean</Table.Th>}
                {wide && <Table.Th ta="right">Deviation</Table.Th>}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {answer.columns.map((one) => (
                <Table.Tr key={one.name}>
                  <Table.Th scope="row">
                    {one.name}
                    <Text size="xs" c="dimmed" hiddenFrom="sm">
                      {unitOf(of(one.name))}
                    </Text>
                  </Table.Th>
                  <Table.Td visibleFrom="sm">{unitOf(of(one.name)) || "–"}</Table.Td>
                  <Count people={one.present} />
                  <Count people={one.missing} />
                  {wide && <Table.Td ta="right">{of(one.name).moments ? moment(one.mean, one.mean_error, noisy) : "–"}</Table.Td>}
                  {wide && <Table.Td ta="right">{of(one.name).moments ? moment(one.sd, one.sd_error, noisy) : "–"}</Table.Td>}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Part>
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        {answer.columns.map((one) => one.quantiles?.length ? <Quantiles key={`q ${one.name}`} column={of(one.name)} found={one.quantiles} /> : null)}
        {answer.columns.map((one) => one.groups?.length ? <Groups key={`g ${one.name}`} column={of(one.name)} people={one.groups} /> : null)}
      </SimpleGrid>
      {answer.tables?.map((table) => (
        <Part key={`${table.rows} ${table.columns}`} title={`${table.rows} by ${table.columns}`}>
          <Table.ScrollContainer minWidth={320}>
            <Table aria-label={`${table.rows} by ${table.columns}`} withColumnBorders>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>
                    {table.rows} \ {table.columns}
                  </Table.Th>
                  {labels(of(table.columns)).map((one) => (
                    <Table.Th key={one} ta="right">
                      {one}
                    </Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {labels(of(table.rows)).map((name, row) => (
                  <Table.Tr key={name}>
                    <Table.Th scope="row">{name}</Table.Th>
                    {table.cells[row]?.map((people, at) => <Count key={at} people={people} />)}
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Text size="sm" mt="xs">
            {tested(table, noisy)}
          </Text>
        </Part>
      ))}
    </>
  );
}

const unitOf = (column: QueryColumn): string => (column.codes?.length ? "code" : (column.unit ?? ""));

function Count({ people }: { people: number | null }) {
  return (
    <Table.Td ta="right" c={people === null ? "dimmed" : undefined}>
      {count(people)}
    </Table.Td>
  );
}

function Quantiles({ column, found }: { column: QueryColumn; found: NonNullable<Answer["columns"][number]["quantiles"]> }) {
  return (
    <Part title={`Quantiles of ${column.name}`}>
      <Table aria-label={`Quantiles of ${column.name}`}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Share of people</Table.Th>
            <Table.Th ta="right">{column.unit || "Value"}</Table.Th>
            <Table.Th ta="right">Error</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {found.map((one) => (
            <Table.Tr key={one.at}>
              <Table.Td>{Number((100 * one.at).toPrecision(6))} %</Table.Td>
              <Table.Td ta="right">{one.value === null ? HIDDEN : number(one.value)}</Table.Td>
              <Table.Td ta="right">{one.value === null ? "–" : one.error ? `± ${Number(one.error.toPrecision(3))}` : "exact"}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Part>
  );
}

/** Counts by group, each beside a bar. */
function Groups({ column, people }: { column: QueryColumn; people: readonly (number | null)[] }) {
  const most = Math.max(1, ...people.map((one) => one ?? 0));
  return (
    <Part title={`People by ${column.name}${column.unit ? `, ${column.unit}` : ""}`}>
      <Table aria-label={`People by ${column.name}`} verticalSpacing={4} horizontalSpacing="xs" withRowBorders={false}>
        <Table.Tbody>
          {people.map((one, group) => (
            <Table.Tr key={group}>
              <Table.Th scope="row" fw={400} w="42%">
                {label(column, group)}
              </Table.Th>
              <Table.Td>
                <Progress value={(100 * Math.max(0, one ?? 0)) / most} size="lg" radius="sm" aria-hidden />
              </Table.Td>
              <Table.Td ta="right" w={70} c={one === null ? "dimmed" : undefined}>
                {count(one)}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Part>
  );
}
