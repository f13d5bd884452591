/** How is a run started? An app, whom it asks, its hyper-parameters by its own schema, and what it may cost in privacy. */
import { Alert, Button, Collapse, Group, NumberInput, SegmentedControl, Select, SimpleGrid, Switch, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import { type App, type Description, type Hyper, type Plan, planQuery, runQuery, type Silo, useHealth, useProjects } from "../api/queries";
import { useSession } from "../api/session";
import { Part } from "../components/Bits";
import { AppForm, enrolledOf, ProjectField, RunForm, SilosField, useSubmit } from "../components/RunForm";
import { ANY, command, type Draft, defaults, fresh, like, planOf, problem, STRATEGIES, type Value } from "../lib/plan";

export function NewRun() {
  const [query] = useSearchParams();
  const model = query.get("like") ?? "";
  const old = useQuery({ ...planQuery(model), enabled: model !== "" });
  const oldRun = useQuery({ ...runQuery(model), enabled: model !== "" });
  return (
    <AppForm
      title={model ? `New run like ${old.data?.name ?? "another"}` : "New run"}
      refused="You may not submit runs"
      wanted={query.get("app") ?? old.data?.app.digest ?? ""}
      any={!model}
      means="What silos have approved by its digest"
      lacking="A run trains an app that silos can fetch and approve: a package, built from an app's folder."
      gone={
        <Alert color="yellow" variant="light" mb="md">
          The app of that run is no package here: it was submitted from a folder. Choose a package, and its values are taken over.
        </Alert>
      }
      busy={model !== "" && (old.isPending || oldRun.isPending)}
      error={old.error}
    >
      {(app, about, everybody) => (
        <Form key={`${app.digest} ${model}`} app={app} about={about} everybody={everybody} old={old.data} project={oldRun.data?.project ?? query.get("project") ?? ""} />
      )}
    </AppForm>
  );
}

type FormProps = { app: App; about: Description; everybody: readonly Silo[]; old: Plan | undefined; project: string };

function Form({ app, about, everybody, old, project }: FormProps) {
  const { can } = useSession();
  const projects = useProjects(can("project.read"));
  const labels = useHealth().data?.labels ?? [];
  const enrolled = useMemo(() => enrolledOf(everybody), [everybody]);
  const [draft, setDraft] = useState<Draft>(() => {
    if (old) {
      const made = like(old, project);
      const known = Object.fromEntries(Object.entries(made.hyper).filter(([name]) => name in about.hyper.properties));
      return { ...made, hyper: { ...defaults(about), ...known } };
    }
    return { ...fresh(about, enrolled.filter((silo) => silo.status !== "paused").map((silo) => silo.name)), project };
  });
  const set = (change: Partial<Draft>): void => setDraft((before) => ({ ...before, ...change }));
  const chosenProject = projects.data?.find((one) => one.name === draft.project);
  const may = useMemo(
    () => (chosenProject ? enrolled.filter((silo) => chosenProject.silos.includes(silo.name)) : enrolled),
    [chosenProject, enrolled],
  );
  useEffect(() => {
    if (!chosenProject) return;
    setDraft((before) => {
      const kept = before.silos.filter((name) => chosenProject.silos.includes(name));
      return { ...before, silos: kept.length ? kept : may.map((silo) => silo.name) };
    });
  }, [chosenProject, may]);
  const [more, { toggle }] = useDisclosure();

  const presets = { ...about.presets, ...(app.presets ?? {}) } as Record<string, Record<string, Value>>;
  const fields = Object.entries(about.hyper.properties);
  const problems = fields.filter(([name, field]) => problem(field, draft.hyper[name]));
  const private_ = draft.epsilon !== "";
  const masked = !draft.inspect;
  const few = masked && draft.silos.length < 2;
  const submit = useSubmit(() => planOf(draft, about, app.digest, old), draft.project, (run) => `/runs/${run}`);
  const open = about.masked?.length ? [] : [{ value: "inspect", label: "Inspected" }];
  return (
    <RunForm
      label="New run"
      submit={submit}
      ready={problems.length === 0 && draft.silos.length > 0 && !few}
      go="Start the run"
      brief={
        <>
          {about.name} {about.version} over {draft.silos.length} silos, {String(draft.hyper.rounds)} rounds,{" "}
          {masked ? "masked" : draft.keepSiloModels ? "inspected, each silo's own models kept" : "inspected"}
          {private_ ? `, epsilon ${draft.epsilon} at most` : ", without differential privacy"}.
        </>
      }
      decides="Each silo decides by its own policy whether it takes part; it needs to have approved this app."
      wrong={problems.length ? `${problems.map(([name]) => name).join(", ")}: not as the app allows` : ""}
      command={command(draft, about, enrolled.map((silo) => silo.name))}
    >
      <Part title="Who takes part">
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <TextInput label="Name of the run" value={draft.name} onChange={(event) => set({ name: event.currentTarget.value })} />
          <ProjectField projects={projects.data} value={draft.project} set={(name) => set({ project: name })} />
          {(labels.length > 0 || draft.aggregator !== ANY) && (
            <Select label="Aggregator" description="Which coordinators may drive it, by label" data={[...new Set([ANY, ...labels, draft.aggregator])]} value={draft.aggregator} onChange={(value) => set({ aggregator: value ?? ANY })} allowDeselect={false} />
          )}
        </SimpleGrid>
        <SilosField may={may} chosen={draft.silos} choose={(silos) => set({ silos })} few={few ? "A masked run needs two silos at least" : ""} mt="sm" />
      </Part>
      <Part title="Hyper-parameters">
        {Object.keys(presets).length > 0 && (
          <Group mb="sm" gap="xs">
            <Text size="sm">Start from</Text>
            <SegmentedControl
              size="xs"
              aria-label="Preset"
              value={draft.preset}
              onChange={(preset) => set({ preset, hyper: { ...defaults(about), ...(presets[preset] ?? {}) } })}
              data={[{ value: "", label: "defaults" }, ...Object.keys(presets).map((name) => ({ value: name, label: name }))]}
            />
          </Group>
        )}
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {fields.map(([name, field]) => (
            <HyperInput key={name} name={name} field={field} value={draft.hyper[name]} set={(value) => set({ hyper: { ...draft.hyper, [name]: value } })} />
          ))}
        </SimpleGrid>
      </Part>
      <Part title="Privacy">
        <SegmentedControl
          aria-label="What the coordinator sees"
          value={draft.inspect ? "inspect" : "masked"}
          onChange={(value) => set({ inspect: value === "inspect", strategy: value === "masked" && STRATEGIES[draft.strategy]?.open ? "fedavg" : draft.strategy })}
          data={[{ value: "masked", label: "Masked" }, ...open]}
        />
        <Text size="sm" c="dimmed" mt="xs">
          {masked
            ? "The coordinator learns sums over the silos, and no silo's own numbers."
            : "The coordinator sees what each silo sends, where every silo's policy allows that; by default none does."}
        </Text>
        {draft.inspect && (
          <Switch mt="md" label="Keep each silo's own model" checked={draft.keepSiloModels} onChange={(event) => set({ keepSiloModels: event.currentTarget.checked })} description="The coordinator keeps what each silo made of each round, learnt from its rows alone. Silos whose policy does not say allow_silo_models refuse the run." />
        )}
        <Switch mt="md" label="Differential privacy" checked={private_} onChange={(event) => set({ epsilon: event.currentTarget.checked ? 8 : "" })} />
        {private_ && (
          <NumberInput label="Epsilon, at most" description="What the run may cost each silo's records, all of it together" value={draft.epsilon} onChange={(value) => set({ epsilon: typeof value === "number" ? value : 8 })} min={0.01} max={100} step={0.5} maw={280} mt="sm" />
        )}
      </Part>
      <div>
        <Button variant="subtle" size="compact-sm" onClick={toggle} aria-expanded={more}>
          {more ? "Less" : "Strategy, quorum and deadlines"}
        </Button>
        <Collapse expanded={more}>
          <SimpleGrid cols={{ base: 1, sm: 2 }} mt="sm">
            <Select label="Strategy" data={Object.entries(STRATEGIES).filter(([, one]) => draft.inspect || !one.open).map(([name]) => name)} value={draft.strategy} onChange={(value) => set({ strategy: value ?? "fedavg", settings: {} })} allowDeselect={false} description="How the updates are combined" />
            <NumberInput label="Quorum" description="Reports that a round needs; 0 stands for all" value={draft.quorum} onChange={(value) => set({ quorum: Number(value) || 0 })} min={0} max={draft.silos.length} allowDecimal={false} />
            <NumberInput label="Gathering, seconds" description="How long the run waits for its silos to join" value={draft.gatherS} onChange={(value) => set({ gatherS: Number(value) || 60 })} min={1} />
            <NumberInput label="Deadline, seconds" description="How long one attempt of a round may take" value={draft.deadlineS} onChange={(value) => set({ deadlineS: Number(value) || 600 })} min={1} />
            <NumberInput label="Attempts" description="How often a round is tried" value={draft.attempts} onChange={(value) => set({ attempts: Number(value) || 1 })} min={1} max={100} allowDecimal={false} />
          </SimpleGrid>
        </Collapse>
      </div>
    </RunForm>
  );
}

/** What a field for numbers says: a number as soon as it is one; "-" is the beginning of one, and stays. */
const numberIn = (given: string | number): Value => (given === "" || Number.isNaN(Number(given)) ? given : Number(given));

/** One hyper-parameter, as its schema says. */
export function HyperInput({ name, field, value, set }: { name: string; field: Hyper; value: Value | undefined; set: (value: Value) => void }) {
  const wrong = problem(field, value);
  const shared = { label: name, description: field.description, error: wrong || undefined };
  if (field.enum) return <Select {...shared} data={field.enum.map(String)} value={String(value)} onChange={(chosen) => set(field.enum?.find((one) => String(one) === chosen) ?? "")} allowDeselect={false} />;
  if (field.type === "boolean") return <Switch {...shared} checked={value === true} onChange={(event) => set(event.currentTarget.checked)} mt="lg" />;
  if (field.type === "string") return <TextInput {...shared} value={String(value ?? "")} onChange={(event) => set(event.currentTarget.value)} />;
  return <NumberInput {...shared} value={typeof value === "boolean" ? "" : (value ?? "")} onChange={(given) => set(numberIn(given))} allowDecimal={field.type === "number"} decimalScale={12} step={field.type === "integer" ? 1 : undefined} hideControls={field.type === "number"} />;
}
