/** One run: its standing on top, and what one looks at in tabs, each with an address of its own. */
import { Anchor, Button, Group, Modal, Stack, Tabs, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useRef, useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { api, told } from "../../api/client";
import { useJournal } from "../../api/journal";
import { ENDED, type Run, runQuery } from "../../api/queries";
import { useSession } from "../../api/session";
import { Copy, Empty, Failure, Heading, RunStatus, Waiting, When } from "../../components/Bits";
import { later } from "../../components/Later";
import { TABS } from "../../pages";
import { Overview } from "./Overview";

const Models = later(TABS["pages/run/Models.tsx"]);
const Timeline = later(TABS["pages/run/Timeline.tsx"]);
const Logs = later(TABS["pages/run/Logs.tsx"]);
const System = later(TABS["pages/run/System.tsx"]);
const Privacy = later(TABS["pages/run/Privacy.tsx"]);
const Settings = later(TABS["pages/run/Settings.tsx"]);

const IN_TIME = ["timeline", "logs", "system"]; // tabs that show the same silo, round and part of the time
const KEPT = ["silo", "round", "from", "to", "span"];

/** The address of a run's tab; between those that are about time, what was chosen goes along. */
export function tabOf(id: string, from: string, to: string, query: URLSearchParams): string {
  const path = to === "overview" ? `/runs/${id}` : `/runs/${id}/${to}`;
  if (!IN_TIME.includes(from) || !IN_TIME.includes(to)) return path;
  const kept = new URLSearchParams([...query].filter(([name]) => KEPT.includes(name)));
  return kept.size ? `${path}?${kept}` : path;
}

export function RunPage() {
  const { id = "", tab = "overview" } = useParams();
  const navigate = useNavigate();
  const [query] = useSearchParams();
  const { can } = useSession();
  const run = useQuery(runQuery(id));
  const journal = useJournal(id, run.data !== undefined && ENDED.includes(run.data.status));
  const tabs = useRef<HTMLDivElement>(null);
  const there = run.data !== undefined;
  useEffect(() => {
    if (there) tabs.current?.querySelector(`[aria-selected=true]`)?.scrollIntoView({ block: "nearest", inline: "nearest" }); // a narrow screen has no room for all
  }, [tab, there]);
  if (run.isPending) return <Waiting />;
  if (!run.data)
    return (
      <Stack>
        <Heading title="Run" />
        <Failure error={run.error} retry={() => void run.refetch()} />
        <Empty title="This run is not to be seen" command="septum run list">
          It may be of another coordinator, or of a project that you have no role in.
        </Empty>
      </Stack>
    );
  const models = can("model.read") && !run.data.asks;
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
            {run.data.project && (
              <span>
                project <Anchor component={Link} to={`/runs?project=${run.data.project}`}>{run.data.project}</Anchor>
              </span>
            )}
            <span>
              submitted <When unix={run.data.created_at} />
            </span>
            {run.data.shredded_at && (
              <span>
                shredded <When unix={run.data.shredded_at} /> by {run.data.shredded_by}
              </span>
            )}
            <Group gap={4} wrap="nowrap" component="span" display="inline-flex">
              <span className="mono whole">{run.data.id}</span>
              <Copy text={run.data.id} label="Copy the run's id" />
            </Group>
          </Group>
        }
      >
        {run.data.asks && (
          <Button component={Link} to={`/statistics/${id}`}>
            The answer
          </Button>
        )}
        <Steer run={run.data} />
      </Heading>
      <Tabs value={tab} onChange={(next) => void navigate(tabOf(id, tab, next ?? "overview", query))} keepMounted={false}>
        <Tabs.List ref={tabs} mb="lg" style={{ flexWrap: "nowrap", overflowX: "auto", overflowY: "hidden" }}>
          <Tabs.Tab value="overview">Overview</Tabs.Tab>
          {models && <Tabs.Tab value="models">Models</Tabs.Tab>}
          <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
          {can("log.read") && <Tabs.Tab value="logs">Logs</Tabs.Tab>}
          <Tabs.Tab value="system">System</Tabs.Tab>
          <Tabs.Tab value="privacy">Privacy</Tabs.Tab>
          <Tabs.Tab value="settings">Settings</Tabs.Tab>
        </Tabs.List>
        <Suspense fallback={<Waiting />}>
          <Tabs.Panel value="overview">
            <Overview run={run.data} journal={journal} />
          </Tabs.Panel>
          {models && (
            <Tabs.Panel value="models">
              <Models run={run.data} entries={journal.entries} />
            </Tabs.Panel>
          )}
          <Tabs.Panel value="timeline">
            <Timeline run={run.data} />
          </Tabs.Panel>
          {can("log.read") && (
            <Tabs.Panel value="logs">
              <Logs run={run.data} />
            </Tabs.Panel>
          )}
          <Tabs.Panel value="system">
            <System run={run.data} />
          </Tabs.Panel>
          <Tabs.Panel value="privacy">
            <Privacy run={run.data} />
          </Tabs.Panel>
          <Tabs.Panel value="settings">
            <Settings run={run.data} />
          </Tabs.Panel>
        </Suspense>
      </Tabs>
    </>
  );
}

/** What may be done to a run by whoever looks at it, as it stands now. */
function Steer({ run }: { run: Run }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const [asking, { open, close }] = useDisclosure();
  const [reason, setReason] = useState("");
  const act = useMutation({
    mutationFn: (what: "pause" | "resume" | "stop") => {
      const params = { path: { run_id: run.id } };
      if (what === "pause") return told(api.POST("/api/v1/runs/{run_id}/pause", { params }));
      if (what === "resume") return told(api.POST("/api/v1/runs/{run_id}/resume", { params }));
      const body = (reason ? { reason } : undefined) as never; // a small body that the document does not describe
      return told(api.POST("/api/v1/runs/{run_id}/stop", { params, body }));
    },
    onSuccess: (view) => {
      queries.setQueryData(["run", run.id], view);
      close();
    },
  });
  const ended = ENDED.includes(run.status);
  return (
    <>
      {can("run.steer") && !ended && run.status !== "paused" && (
        <Button variant="default" onClick={() => act.mutate("pause")} loading={act.isPending && act.variables === "pause"}>
          Pause
        </Button>
      )}
      {can("run.steer") && !run.shredded_at && (run.status === "paused" || run.status === "stopped" || run.status === "failed") && (
        <Button onClick={() => act.mutate("resume")} loading={act.isPending && act.variables === "resume"}>
          Resume
        </Button>
      )}
      {can("run.steer") && !ended && (
        <Button color="red" variant="light" onClick={open}>
          Stop
        </Button>
      )}
      {can("run.submit") && !run.asks && (
        <Button variant="default" component={Link} to={`/runs/new?like=${run.id}`}>
          Clone with changes
        </Button>
      )}
      {act.error && !asking && <Failure error={act.error} />}
      <Modal opened={asking} onClose={close} title="Stop this run?">
        <Stack>
          <Text size="sm">
            It ends after {run.finished_rounds} of {run.rounds} rounds. Its last finished model stays, and it can be resumed from there.
          </Text>
          <TextInput label="Why" description="The silos' stewards read it" value={reason} onChange={(event) => setReason(event.currentTarget.value)} data-autofocus />
          <Failure error={act.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Let it run
            </Button>
            <Button color="red" onClick={() => act.mutate("stop")} loading={act.isPending}>
              Stop the run
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
