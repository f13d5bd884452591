/** Which runs are there? A page at a time from the coordinator; the filters stand in the address. */
import { Button, Group, MultiSelect, Select } from "@mantine/core";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { type Status, useApps, useProjects, useRuns } from "../api/queries";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, Waiting } from "../components/Bits";
import { Pages } from "../components/Pages";
import { beside, Sought } from "../components/Sought";
import { quoted } from "../lib/format";
import { RunsTable } from "./RunsTable";

const STATUSES: Status[] = ["queued", "gathering", "preparing", "training", "evaluating", "paused", "finished", "stopped", "failed"];

export function Runs() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const [chosen, setChosen] = useState<string[]>([]);
  const wanted = {
    after: query.get("after") ?? "",
    project: query.get("project") ?? "",
    app: query.get("app") ?? "",
    q: query.get("q") ?? "",
    status: query.getAll("status").filter((one): one is Status => (STATUSES as string[]).includes(one)),
  };
  const { data, error, isPending, refetch } = useRuns(wanted);
  const projects = useProjects(can("project.read"));
  const apps = useApps(can("app.read"));
  const names = useMemo(() => [...new Set(apps.data?.map((app) => app.name) ?? [])], [apps.data]);
  const filtered = Boolean(wanted.project || wanted.app || wanted.q || wanted.status.length);
  const change = (name: string, values: string[]): void => {
    const next = new URLSearchParams(query);
    next.delete("after");
    next.delete(name);
    for (const value of values) next.append(name, value);
    setQuery(next);
  };
  const toggle = (id: string): void =>
    setChosen((old) => (old.includes(id) ? old.filter((one) => one !== id) : [...old, id].slice(-6)));
  return (
    <>
      <Heading title="Runs">
        {chosen.length > 1 && (
          <Button variant="default" component={Link} to={`/runs/compare?runs=${chosen.join(",")}`}>
            Compare {chosen.length}
          </Button>
        )}
        {can("run.submit") && (
          <Button component={Link} to="/runs/new">
            New run
          </Button>
        )}
      </Heading>
      <Group mb="md" gap="sm">
        <Sought aria-label="Name, app or submitter" placeholder="Name, app or submitter" value={wanted.q} set={(text) => change("q", text ? [text] : [])} maxLength={200} w={{ base: "100%", sm: 220 }} />
        <MultiSelect aria-label="Status" placeholder={wanted.status.length ? undefined : "Any status"} data={STATUSES} value={wanted.status} onChange={(values) => change("status", values)} clearable w={beside(260)} />
        {names.length > 0 && <Select aria-label="App" placeholder="Any app" data={names} value={wanted.app || null} onChange={(value) => change("app", value ? [value] : [])} clearable w={beside(190)} />}
        {(projects.data?.length ?? 0) > 0 && <Select aria-label="Project" placeholder="Any project" data={projects.data?.map((one) => one.name)} value={wanted.project || null} onChange={(value) => change("project", value ? [value] : [])} clearable w={beside(190)} />}
      </Group>
      <Failure error={error} retry={() => void refetch()} />
      {isPending && <Waiting />}
      {data && data.items.length === 0 && (
        <Empty
          title={filtered || wanted.after ? "No run is like this" : "No run yet"}
          command={filtered ? `septum run list${wanted.q ? ` --search ${quoted(wanted.q)}` : ""}` : "septum run submit APP --watch"}
          action={filtered ? <Button variant="default" onClick={() => setQuery({})}>All runs</Button> : can("run.submit") && <Button component={Link} to="/runs/new">New run</Button>}
        >
          {filtered ? "Other filters find others." : "A run trains an app over the silos that you choose. No record leaves a silo."}
        </Empty>
      )}
      {data && data.items.length > 0 && (
        <>
          <RunsTable runs={data.items} chosen={chosen} choose={toggle} />
          <Pages next={data.next} />
        </>
      )}
    </>
  );
}
