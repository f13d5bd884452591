/** How are silos asked for statistics? An app's columns, what of each, whom, and how small counts are kept from the answer. */
import { Button, Checkbox, Collapse, Group, NumberInput, type NumberInputProps, SegmentedControl, Select, SimpleGrid, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { type App, type Column, type Description, type Silo, useProjects } from "../api/queries";
import { useSession } from "../api/session";
import { Part } from "../components/Bits";
import { AppForm, enrolledOf, ProjectField, RunForm, SilosField, useSubmit } from "../components/RunForm";
import { type Asked, bounded, chosen, command, DELTA, grouped, type Grouping, limits, MIN_CELL, planOf, type Question, question, queryOf, shares, trouble, unfit } from "../lib/question";

export function Ask() {
  const [query] = useSearchParams();
  return (
    <AppForm
      title="Ask for statistics"
      refused="You may not ask silos"
      wanted={query.get("app") ?? ""}
      any
      means="About whose columns: silos have approved its data contract"
      lacking="A question is about the columns of an app that silos have approved: its data contract says what they mean."
    >
      {(app, about, everybody) => <Form key={app.digest} app={app} about={about} everybody={everybody} project={query.get("project") ?? ""} />}
    </AppForm>
  );
}

type FormProps = { app: App; about: Description; everybody: readonly Silo[]; project: string };

function Form({ app, about, everybody, project }: FormProps) {
  const { can } = useSession();
  const projects = useProjects(can("project.read"));
  const enrolled = useMemo(() => enrolledOf(everybody), [everybody]);
  const [given, setGiven] = useState<Question>(() => question(enrolled.map((silo) => silo.name), project));
  const set = (change: Partial<Question>): void => setGiven((before) => ({ ...before, ...change }));
  const chosenProject = projects.data?.find((one) => one.name === given.project);
  const may = chosenProject ? enrolled.filter((silo) => chosenProject.silos.includes(silo.name)) : enrolled;
  const asked = { ...given, silos: given.silos.filter((name) => may.some((silo) => silo.name === name)) };
  const [more, { toggle }] = useDisclosure();
  const columns = Object.entries(asked.columns);
  const wrong = columns.filter(([name, one]) => trouble(about.columns[name] as Column, one));
  const few = asked.silos.length < 2;
  const submit = useSubmit(() => planOf(asked, about, app.digest), asked.project, (run) => `/statistics/${run}`);
  const setColumn = (name: string, one: Asked | null): void => {
    const others = Object.fromEntries(Object.entries(asked.columns).filter(([other]) => other !== name));
    const next = one ? { ...others, [name]: one } : others;
    const stays = (side: string): boolean => side in next && grouped(about.columns[side] as Column, next[side] as Asked);
    set({ columns: next, tables: asked.tables.filter((pair) => pair.every(stays)) });
  };
  const setProject = (name: string): void => {
    const within = projects.data?.find((one) => one.name === name)?.silos;
    set({ project: name, silos: enrolled.map((silo) => silo.name).filter((silo) => !within || within.includes(silo)) });
  };
  return (
    <RunForm
      label="Ask for statistics"
      submit={submit}
      ready={columns.length > 0 && wrong.length === 0 && !few && unfit(asked) === ""}
      go="Ask the silos"
      brief={
        <>
          {columns.length === 0 ? "No column is chosen yet. " : `${many(columns.length, "column")}${asked.tables.length ? ` and ${many(asked.tables.length, "table")}` : ""} of ${about.name} ${about.version}, over ${many(asked.silos.length, "silo")} together. `}
          {asked.epsilon === ""
            ? asked.minCell === 1
              ? "Every count is told."
              : `Counts of 1 to ${asked.minCell - 1} people are hidden, and what would give them back.`
            : `Each silo's ledger pays epsilon ${asked.epsilon} at delta ${asked.delta}, in ${shares(queryOf(asked, about))} equal shares: what is asked less is told better.`}
        </>
      }
      decides="Each silo decides by its own policy: its steward names the apps of whose columns it may be asked."
      wrong={wrong.length ? `${wrong.map(([name]) => name).join(", ")}: cannot be asked like this` : ""}
      command={command(asked, about, (chosenProject ? may : enrolled).map((silo) => silo.name))}
    >
      <Part title="Columns">
        <Stack gap="xs">
          {Object.entries(about.columns).map(([name, column]) => (
            <ColumnRow key={name} name={name} column={column} asked={asked.columns[name]} set={(one) => setColumn(name, one)} />
          ))}
        </Stack>
      </Part>
      <Part title="Tables of two columns">
        <Tables about={about} asked={asked} set={(tables) => set({ tables })} />
      </Part>
      <Part title="Whom">
        <ProjectField projects={projects.data} value={asked.project} set={setProject} maw={280} mb="sm" />
        <SilosField
          may={may}
          chosen={asked.silos}
          choose={(silos) => set({ silos })}
          few={few ? "A masked sum needs two silos at least" : ""}
          description="Once some were asked, the same have to be asked again, or three more: a difference of two sums would tell one silo's"
        />
      </Part>
      <Small asked={asked} set={set} />
      <div>
        <Button variant="subtle" size="compact-sm" onClick={toggle} aria-expanded={more}>
          {more ? "Less" : "Quorum and deadlines"}
        </Button>
        <Collapse expanded={more}>
          <SimpleGrid cols={{ base: 1, sm: 3 }} mt="sm">
            <NumberInput label="Quorum" description="Silos that it takes; 0: all" value={asked.quorum} onChange={(value) => set({ quorum: Number(value) || 0 })} min={0} max={asked.silos.length} allowDecimal={false} />
            <NumberInput label="Gathering, seconds" description="For silos to join" value={asked.gatherS} onChange={(value) => set({ gatherS: Number(value) || 60 })} min={1} />
            <NumberInput label="Deadline, seconds" description="For silos to count" value={asked.deadlineS} onChange={(value) => set({ deadlineS: Number(value) || 600 })} min={1} />
          </SimpleGrid>
        </Collapse>
      </div>
    </RunForm>
  );
}

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** What a column's values are, in a few words. */
function meaning(column: Column): string {
  if (column.type === "code") return Object.entries(column.codes).map(([code, means]) => (means ? `${code} ${means}` : code)).join(", ");
  const range = column.min !== null || column.max !== null ? `${column.min ?? "any"} to ${column.max ?? "any"}` : "any number";
  return [range, column.unit].filter(Boolean).join(" ");
}

type RowProps = { name: string; column: Column; asked: Asked | undefined; set: (asked: Asked | null) => void };

function ColumnRow({ name, column, asked, set }: RowProps) {
  const coded = column.type === "code";
  const wrong = asked ? trouble(column, asked) : "";
  const change = (part: Partial<Asked>): void => asked && set({ ...asked, ...part });
  const ways: { value: Grouping; label: string }[] = [
    { value: "plain", label: coded ? "each code" : "no groups" },
    ...(bounded(column) ? [{ value: "histogram" as const, label: "of equal width" }] : []),
    { value: "cut", label: "up to limits" },
  ];
  return (
    <div>
      <Checkbox
        checked={asked !== undefined}
        onChange={(event) => set(event.currentTarget.checked ? chosen(column) : null)}
        label={
          <>
            <Text span fw={500} size="sm">
              {name}
            </Text>{" "}
            <Text span size="sm" c="dimmed">
              {[column.about, meaning(column)].filter(Boolean).join(": ")}
            </Text>
          </>
        }
      />
      {asked && (
        <Group ml={30} mt={6} mb="xs" gap="md" align="flex-start" role="group" aria-label={`What is asked of ${name}`}>
          {!coded && (
            <Stack gap={6} pt={4}>
              <Checkbox size="xs" label="Mean and deviation" checked={asked.moments} disabled={!bounded(column)} onChange={(event) => change({ moments: event.currentTarget.checked })} />
              <Checkbox size="xs" label="Quartiles" checked={asked.quartiles} disabled={!bounded(column)} onChange={(event) => change({ quartiles: event.currentTarget.checked })} />
            </Stack>
          )}
          <Select size="xs" w={150} aria-label={`Groups of ${name}`} data={ways} value={asked.grouping} onChange={(value) => change({ grouping: (value ?? "plain") as Grouping })} allowDeselect={false} />
          {asked.grouping === "histogram" && <NumberInput size="xs" w={90} aria-label={`How many groups of ${name}`} value={asked.bins} onChange={(value) => change({ bins: Number(value) })} min={2} max={256} allowDecimal={false} />}
          {asked.grouping === "cut" && <TextInput size="xs" w={130} aria-label={`Where groups of ${name} end`} placeholder="40/60" value={asked.cuts} onChange={(event) => change({ cuts: event.currentTarget.value })} />}
          {asked.grouping === "cut" && limits(asked.cuts) && (
            <Text size="xs" c="dimmed" pt={7}>
              {(limits(asked.cuts)?.length ?? 0) + 1} groups
            </Text>
          )}
          {wrong && (
            <Text size="xs" c="red" pt={7}>
              {wrong}
            </Text>
          )}
        </Group>
      )}
    </div>
  );
}

type TablesProps = { about: Description; asked: Question; set: (tables: Question["tables"]) => void };

function Tables({ about, asked, set }: TablesProps) {
  const [rows, setRows] = useState<string | null>(null);
  const [columns, setColumns] = useState<string | null>(null);
  const sides = Object.keys(asked.columns).filter((name) => grouped(about.columns[name] as Column, asked.columns[name] as Asked)).sort();
  const there = asked.tables.some((pair) => rows !== null && columns !== null && pair.includes(rows) && pair.includes(columns));
  if (sides.length < 2)
    return (
      <Text size="sm" c="dimmed">
        Choose two columns above that have groups: codes, or numbers in groups. A table says how they go together, with chi-square.
      </Text>
    );
  return (
    <Stack gap="xs">
      {asked.tables.map((pair) => (
        <Group key={pair.join()} gap="xs">
          <Text size="sm">
            {pair[0]} by {pair[1]}
          </Text>
          <Button size="compact-xs" variant="subtle" color="gray" onClick={() => set(asked.tables.filter((one) => one !== pair))} aria-label={`Leave out ${pair[0]} by ${pair[1]}`}>
            Leave out
          </Button>
        </Group>
      ))}
      <Group gap="xs" align="flex-end">
        <Select label="Rows" data={sides} value={sides.includes(rows ?? "") ? rows : null} onChange={setRows} w={150} />
        <Select label="Columns" data={sides.filter((side) => side !== rows)} value={sides.includes(columns ?? "") && columns !== rows ? columns : null} onChange={setColumns} w={150} />
        <Button
          variant="default"
          disabled={!rows || !columns || rows === columns || there || ![rows, columns].every((side) => sides.includes(side))}
          onClick={() => {
            if (rows && columns) set([...asked.tables, [rows, columns]]);
            setRows(null);
            setColumns(null);
          }}
        >
          Add the table
        </Button>
      </Group>
    </Stack>
  );
}

type TypedProps = Omit<NumberInputProps, "value" | "onChange"> & { first: number; set: (value: number) => void };

/** A number as it is typed; what is none yet is handed on as NaN. */
function Typed({ first, set, ...rest }: TypedProps) {
  const [text, setText] = useState<number | string>(first);
  return (
    <NumberInput
      {...rest}
      value={text}
      onChange={(given) => {
        setText(given);
        set(given === "" ? Number.NaN : Number(given));
      }}
    />
  );
}

function Small({ asked, set }: { asked: Question; set: (change: Partial<Question>) => void }) {
  const noisy = asked.epsilon !== "";
  return (
    <Part title="Small counts">
      <SegmentedControl
        aria-label="How small counts are kept from the answer"
        value={noisy ? "noise" : "hidden"}
        onChange={(value) => set(value === "noise" ? { epsilon: 1 } : { epsilon: "", delta: DELTA })}
        data={[{ value: "hidden", label: "Hidden" }, { value: "noise", label: "With noise" }]}
      />
      <Text size="sm" c="dimmed" mt="xs" mb="sm">
        {noisy
          ? "Each silo adds noise to its own numbers before it masks them, and its privacy ledger pays. What is spent does not come back; to ask again is to pay again."
          : "The sums are exact. Counts of fewer people, and what would give them back, are not in the answer. This is no proof: two answers can be subtracted."}
      </Text>
      {noisy ? (
        <SimpleGrid cols={{ base: 1, sm: 2 }} maw={460}>
          <Typed label="Epsilon" description="For each row, all of it together" first={asked.epsilon || 1} set={(epsilon) => set({ epsilon })} step={0.5} decimalScale={4} />
          <Typed label="Delta" description="At which epsilon holds" first={asked.delta} set={(delta) => set({ delta })} hideControls decimalScale={12} />
        </SimpleGrid>
      ) : (
        <Group align="flex-end" gap="xl">
          {asked.minCell !== 1 && <Typed label="Hide counts of fewer people than" first={asked.minCell} set={(minCell) => set({ minCell: minCell === 1 ? 0 : minCell })} allowDecimal={false} maw={290} />}
          <Switch label="Hide nothing" description="Only where every silo allows it" checked={asked.minCell === 1} onChange={(event) => set({ minCell: event.currentTarget.checked ? 1 : MIN_CELL })} />
        </Group>
      )}
      {unfit(asked) && (
        <Text size="sm" c="red" mt="xs">
          {unfit(asked)}
        </Text>
      )}
    </Part>
  );
}
