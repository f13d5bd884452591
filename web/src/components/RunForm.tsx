/** What have the forms for a run and for a question in common? An app, whom to ask, and what it comes to, beside the button and the command. */
import { Alert, Anchor, Button, Checkbox, Grid, Group, Paper, Select, type SelectProps, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { type UseMutationResult, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useRef } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { api, told } from "../api/client";
import { type App, type Description, descriptionQuery, type Plan, type Project, type Run, type Silo, useApps, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Empty, Failure, Heading, SiloStatus, Waiting } from "./Bits";

/**
 * wanted    the digest of the app that is asked for; `any`: whether the first one will do where it is not there
 * refused   what whoever may not submit reads
 * means     what the app is in this form
 * lacking   why an app is needed, where none was pushed
 * gone      shown while no app is chosen
 */
type AppProps = {
  title: string;
  refused: string;
  wanted: string;
  any: boolean;
  means: string;
  lacking: string;
  gone?: ReactNode;
  busy?: boolean;
  error?: unknown;
  children: (app: App, about: Description, everybody: readonly Silo[]) => ReactNode;
};

/** A page with a form about one of the apps, which opens once it is known what the app says of itself, and who could be asked. */
export function AppForm({ title, refused, wanted, any, means, lacking, gone, busy = false, error, children }: AppProps) {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const apps = useApps();
  const silos = useSilos();
  const app = apps.data?.find((one) => one.digest === wanted) ?? (any ? apps.data?.[0] : undefined);
  const description = useQuery(descriptionQuery(app?.digest ?? ""));
  if (!can("run.submit"))
    return (
      <>
        <Heading title={title} />
        <Empty title={refused}>A researcher of the federation or of a project may.</Empty>
      </>
    );
  if (apps.isPending || silos.isPending || busy) return <Waiting />;
  const again = (): void => {
    for (const one of [apps, silos, description]) if (one.isError) void one.refetch();
  };
  return (
    <>
      <Heading title={title} />
      <Failure error={apps.error ?? silos.error ?? description.error} retry={again} />
      <Failure error={error} />
      {apps.data?.length === 0 && (
        <Empty
          title="No app was pushed yet"
          command={"septum app build ./my-app\nseptum app push dist/my-app-1.0.0.septum"}
          action={can("app.push") && <Button component={Link} to="/apps?upload=1">Upload a package</Button>}
        >
          {lacking}
        </Empty>
      )}
      {apps.data && apps.data.length > 0 && (
        <>
          {!app && gone}
          <Select
            label="App"
            description={means}
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
          />
          {app && description.isPending && <Waiting />}
          {app && description.data && silos.data && children(app, description.data, silos.data)}
        </>
      )}
    </>
  );
}

/** Those of the silos that a plan can name. */
export const enrolledOf = (silos: readonly Silo[]): readonly Silo[] => silos.filter((silo) => ["online", "offline", "paused"].includes(silo.status));

type Submission = UseMutationResult<Run, Error, void>;

/** A plan that is submitted once, however often one presses; then one is at its page. */
export function useSubmit(plan: () => Plan, project: string, to: (run: string) => string): Submission {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const key = useRef(crypto.randomUUID());
  return useMutation({
    mutationFn: () => told(api.POST("/api/v1/runs", { params: { header: { "idempotency-key": key.current }, query: { project } }, body: plan() })),
    onSuccess: async (run) => {
      void queries.invalidateQueries({ queryKey: ["runs"] });
      await navigate(to(run.id));
    },
    onError: () => {
      key.current = crypto.randomUUID(); // what was refused is not this submission any more
    },
  });
}

/**
 * ready    whether it can be submitted, by the button that says `go`
 * brief    what it comes to, in short
 * decides  what each silo decides by itself
 * wrong    what cannot stay as it is; empty if nothing
 */
type FrameProps = { label: string; submit: Submission; ready: boolean; go: string; brief: ReactNode; decides: string; wrong: string; command: string; children: ReactNode };

/** The form itself: what is filled in, and beside it what it comes to. */
export function RunForm({ label, submit, ready, go, brief, decides, wrong, command, children }: FrameProps) {
  return (
    <form
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault();
        submit.mutate();
      }}
    >
      <Grid gap="xl">
        <Grid.Col span={{ base: 12, md: 7 }}>
          <Stack gap="lg">{children}</Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 5 }}>
          <Paper withBorder p="md" pos="sticky" top={76}>
            <Stack gap="sm">
              <Title order={2} size="h5">
                In short
              </Title>
              <Text size="sm">{brief}</Text>
              <Text size="sm" c="dimmed">
                {decides}
              </Text>
              <Failure error={submit.error} />
              <Button type="submit" loading={submit.isPending} disabled={!ready}>
                {go}
              </Button>
              {wrong && (
                <Text size="sm" c="red">
                  {wrong}
                </Text>
              )}
              <Text size="sm" c="dimmed" mt="xs">
                The same at a shell:
              </Text>
              <Command>{command}</Command>
            </Stack>
          </Paper>
        </Grid.Col>
      </Grid>
    </form>
  );
}

type SilosProps = { may: readonly Silo[]; chosen: string[]; choose: (silos: string[]) => void; few: string; description?: string; mt?: "sm" };

/** Whom it asks. `few`: why those are too few; empty if they are not. */
export function SilosField({ may, chosen, choose, few, description, mt }: SilosProps) {
  return (
    <>
      <Checkbox.Group label="Silos" description={description} value={chosen} onChange={choose} mt={mt} error={few || undefined}>
        <SimpleGrid cols={{ base: 1, sm: 2 }} mt="xs" spacing="xs">
          {may.map((silo) => (
            <Checkbox key={silo.name} value={silo.name} label={<Group gap="xs"><span>{silo.name}</span>{silo.status !== "online" && <SiloStatus status={silo.status} />}</Group>} />
          ))}
        </SimpleGrid>
      </Checkbox.Group>
      {may.length === 0 && (
        <Alert color="yellow" variant="light" mt="sm">
          No silo has enrolled that could be asked. <Anchor component={Link} to="/silos">Invite one</Anchor>.
        </Alert>
      )}
    </>
  );
}

type ProjectProps = Pick<SelectProps, "maw" | "mb"> & { projects: readonly Project[] | undefined; value: string; set: (project: string) => void };

/** Whose it is; nothing where there is no project. */
export function ProjectField({ projects, value, set, ...rest }: ProjectProps) {
  if (!projects?.length) return null;
  return <Select label="Project" placeholder="None: the federation's" data={projects.filter((one) => !one.closed).map((one) => one.name)} value={value || null} onChange={(name) => set(name ?? "")} clearable {...rest} />;
}
