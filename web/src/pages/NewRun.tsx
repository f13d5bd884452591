/** How is a run started? An app, whom it asks, its hyper-parameters by its own schema, and what it may cost in privacy. */
import { Alert, Anchor, Button, Checkbox, Collapse, Grid, Group, NumberInput, Paper, SegmentedControl, Select, SimpleGrid, Stack, Switch, Text, TextInput, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { api, told } from "../api/client";
import { type App, type Description, descriptionQuery, type Hyper, type Plan, planQuery, runQuery, useApps, useProjects, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Empty, Failure, Heading, SiloStatus, Waiting } from "../components/Bits";
import { command, type Draft, defaults, fresh, like, planOf, problem, STRATEGIES, type Value } from "../lib/plan";

export function NewRun() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const model = query.get("like") ?? "";
  const apps = useApps();
  const old = useQuery({ ...planQuery(model), enabled: model !== "" });
  const oldRun = useQuery({ ...runQuery(model), enabled: model !== "" });
  const silos = useSilos();
  const wanted = query.get("app") ?? old.data?.app.digest ?? "";
  const app = apps.data?.find((one) => one.digest === wanted) ?? (model ? undefined : apps.data?.[0]);
  const description = useQuery(descriptionQuery(app?.digest ?? ""));
  const title = model ? `New run like ${old.data?.name ?? "another"}` : "New run";
  if (!can("run.submit"))
    return (
      <>
        <Heading title="New run" />
        <Empty title="You may not submit runs">A researcher of the federation or of a project may.</Empty>
      </>
    );
  if (apps.isPending || silos.isPending || (model && (old.isPending || oldRun.isPending))) return <Waiting />;
  const gone = model !== "" && !app;
  return (
    <>
      <Heading title={title} />
      <Failure error={apps.error ?? silos.error ?? old.error ?? description.error} />
      {apps.data?.length === 0 && (
        <Empty
          title="No app was pushed yet"
          command={"septum app build ./my-app\nseptum app push dist/my-app-1.0.0.septum"}
          action={can("app.push") && <Button component={Link} to="/apps?upload=1">Upload a package</Button>}
        >
          A run trains an app that silos can fetch and approve: a package, built from an app&apos;s folder.
        </Empty>
      )}
      {apps.data && apps.data.length > 0 && (
        <>
          {gone && (
            <Alert color="yellow" variant="light" mb="md">
              The app of that run is no package here: it was submitted from a folder. Choose a package, and its values are taken over.
            </Alert>
          )}
          <Select
            label="App"
            data={apps.data.map((one) => ({ value: one.digest, label: `${one.name} ${one.version}` }))}
            value={app?.digest ?? null}
            onChange={(value) => {
              const next = new URLSearchParams(query);
              if (value) next.set("app", value);
              setQuery(next);
            }}
            allowDeselect={false}
            searchable
            maw={420}
            mb="lg"
            description="What silos have approved by its digest"
          />
          {app && description.data && (
            <Form key={`${app.digest} ${model}`} app={app} about={description.data} everybody={silos.data ?? []} old={old.data} project={oldRun.data?.project ?? query.get("project") ?? ""} />
          )}
          {app && description.isPending && <Waiting />}
        </>
      )}
    </>
  );
}

type Everybody = NonNullable<ReturnType<typeof useSilos>["data"]>;
type FormProps = { app: App; about: Description; everybody: Everybody; old: Plan | undefined; project: string };

function Form({ app, about, everybody, old, project }: FormProps) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { can } = useSession();
  const projects = useProjects(can("project.read"));
  const key = useRef(crypto.randomUUID());
  const enrolled = useMemo(() => everybody.filter((silo) => ["online", "offline", "paused"].includes(silo.status)), [everybody]);
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
  const submit = useMutation({
    mutationFn: () =>
      told(
        api.POST("/api/v1/runs", {
          params: { header: { "idempotency-key": key.current }, query: { project: draft.project } },
          body: planOf(draft, about, app.digest, old),
        }),
      ),
    onSuccess: async (run) => {
      void queries.invalidateQueries({ queryKey: ["runs"] });
      await navigate(`/runs/${run.id}`);
    },
    onError: () => {
      key.current = crypto.randomUUID(); // what was refused is not this submission any more
    },
  });
  const send = (event: FormEvent): void => {
    event.preventDefault();
    submit.mutate();
  };
  const open = about.masked?.length ? [] : [{ value: "inspect", label: "Inspected" }];
  return (
    <form onSubmit={send} aria-label="New run">
      <Grid gap="xl">
        <Grid.Col span={{ base: 12, md: 7 }}>
          <Stack gap="xl">
            <Part title="Who takes part">
              <SimpleGrid cols={{ base: 1, sm: 2 }}>
                <TextInput label="Name of the run" value={draft.name} onChange={(event) => set({ name: event.currentTarget.value })} />
                {(projects.data?.length ?? 0) > 0 && (
                  <Select label="Project" placeholder="None: the federation's" data={projects.data?.filter((one) => !one.closed).map((one) => one.name)} value={draft.project || null} onChange={(value) => set({ project: value ?? "" })} clearable />
                )}
              </SimpleGrid>
              <Checkbox.Group label="Silos" value={draft.silos} onChange={(silos) => set({ silos })} mt="sm" error={few ? "A masked run needs two silos at least" : undefined}>
                <SimpleGrid cols={{ base: 1, sm: 2 }} mt="xs" spacing="xs">
                  {may.map((silo) => (
                    <Checkbox key={silo.name} value={silo.name} label={<Group gap="xs"><span>{silo.name}</span>{silo.status !== "online" && <SiloStatus status={silo.status} />}</Group>} />
                  ))}
                </SimpleGrid>
              </Checkbox.Group>
              {may.length === 0 && (
                <Alert color="yellow" variant="light" mt="sm">
                  No silo has enrolled that this run could ask. <Anchor component={Link} to="/silos">Invite one</Anchor>.
                </Alert>
              )}
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
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 5 }}>
          <Paper withBorder p="md" pos="sticky" top={76}>
            <Stack gap="sm">
              <Title order={2} size="h5">
                In short
              </Title>
              <Text size="sm">
                {about.name} {about.version} over {draft.silos.length} silos, {String(draft.hyper.rounds)} rounds,{" "}
                {masked ? "masked" : "inspected"}
                {private_ ? `, epsilon ${draft.epsilon} at most` : ", without differential privacy"}.
              </Text>
              <Text size="sm" c="dimmed">
                Each silo decides by its own policy whether it takes part; it needs to have approved this app.
              </Text>
              <Failure error={submit.error} />
              <Button type="submit" loading={submit.isPending} disabled={problems.length > 0 || draft.silos.length === 0 || few}>
                Start the run
              </Button>
              {problems.length > 0 && (
                <Text size="sm" c="red">
                  {problems.map(([name]) => name).join(", ")}: not as the app allows
                </Text>
              )}
              <Text size="sm" c="dimmed" mt="xs">
                The same at a shell:
              </Text>
              <Command>{command(draft, about, enrolled.map((silo) => silo.name))}</Command>
            </Stack>
          </Paper>
        </Grid.Col>
      </Grid>
    </form>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <Title order={2} size="h4" mb="sm">
        {title}
      </Title>
      {children}
    </section>
  );
}

/** One hyper-parameter, as its schema says. */
export function HyperInput({ name, field, value, set }: { name: string; field: Hyper; value: Value | undefined; set: (value: Value) => void }) {
  const wrong = problem(field, value);
  const shared = { label: name, description: field.description, error: wrong || undefined };
  if (field.enum) return <Select {...shared} data={field.enum.map(String)} value={String(value)} onChange={(chosen) => set(field.enum?.find((one) => String(one) === chosen) ?? "")} allowDeselect={false} />;
  if (field.type === "boolean") return <Switch {...shared} checked={value === true} onChange={(event) => set(event.currentTarget.checked)} mt="lg" />;
  if (field.type === "string") return <TextInput {...shared} value={String(value ?? "")} onChange={(event) => set(event.currentTarget.value)} />;
  return <NumberInput {...shared} value={typeof value === "number" ? value : ""} onChange={(given) => set(given === "" ? "" : Number(given))} allowDecimal={field.type === "number"} decimalScale={12} step={field.type === "integer" ? 1 : undefined} hideControls={field.type === "number"} />;
}
