/** What is a version of a model? Where it comes from, who said yes to it, which silos use it, and what may be done now. */
import { Alert, Badge, Button, Group, Modal, MultiSelect, SegmentedControl, Select, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { api, type Schemas, told } from "../api/client";
import { useGroups, useSilos } from "../api/queries";
import { useChange, useDeployments, type Deployment, type Version } from "../api/registered";
import { useSession } from "../api/session";
import { Command, Empty, Failure, Heading, Part, Waiting, When } from "../components/Bits";
import { fileOf, Origin, StageBadge } from "../components/Origin";
import { effects, goesBack, inUse, type Row, rows, waitsFor } from "../lib/registered";

type Doing = "approve" | "deploy" | "retire";

export function VersionPage() {
  const { name = "", version = "" } = useParams();
  const [query, setQuery] = useSearchParams();
  const { who, can } = useSession();
  const number = Number(version);
  const found = useQuery({
    queryKey: ["versions", name, number],
    queryFn: () => told(api.GET("/api/v1/models/versions/{name}/{version}", { params: { path: { name, version: number } } })),
    refetchInterval: 10_000,
  });
  const deployments = useDeployments(name);
  if (found.isPending) return <Waiting />;
  if (!found.data)
    return (
      <Stack>
        <Heading title={`${name} ${version}`} />
        <Failure error={found.error} retry={() => void found.refetch()} />
        <Empty title="This version is not to be seen" command={`septum model versions ${name}`}>
          There may be none with this number, or it is of a project that you have no role in.
        </Empty>
      </Stack>
    );
  const view = found.data;
  const one = view.version;
  const now = inUse(deployments.data ?? []);
  const back = goesBack(number, now);
  const live = view.stage === "approved" || view.stage === "deployed";
  const may: Record<Doing, boolean> = {
    approve: can("model.approve") && who !== null && waitsFor(view, who),
    deploy: can("model.deploy") && live,
    retire: can("model.deploy") && view.stage !== "retired",
  };
  const wanted = query.get("do") as Doing | null;
  const doing = wanted !== null && may[wanted] ? wanted : null;
  const turn = (to: Doing | ""): void => setQuery(to ? { do: to } : {}, { replace: true });
  const close = (): void => turn("");
  return (
    <>
      <Heading
        title={`${one.name} ${one.version}`}
        shown={<StageBadge stage={view.stage} />}
        below={
          <Group gap="md" style={{ rowGap: 0 }} component="span" display="inline-flex">
            <span>
              registered by {one.registered.by}, <When unix={one.registered.at} />
            </span>
            {one.approved && (
              <span>
                approved by {one.approved.by}, <When unix={one.approved.at} />
              </span>
            )}
            {one.retired && (
              <span>
                retired by {one.retired.by}, <When unix={one.retired.at} />
              </span>
            )}
            {one.project && <span>project {one.project}</span>}
          </Group>
        }
      >
        {can("model.download") && (
          <Button variant="default" component="a" href={fileOf(one.model.digest, one.run)} download={`${one.name}-${one.version}.safetensors`}>
            Download
          </Button>
        )}
        {may.retire && (
          <Button variant="light" color="red" onClick={() => turn("retire")}>
            Retire
          </Button>
        )}
        {may.approve && <Button onClick={() => turn("approve")}>Approve</Button>}
        {may.deploy && <Button onClick={() => turn("deploy")}>{back ? "Roll back to this" : "Deploy"}</Button>}
      </Heading>
      <Stack gap="lg">
        <Next view={view} may={may} />
        <Part title="Where it comes from">
          <Origin run={one.run} round={one.round} plan={one.plan} digest={one.model.digest} size={one.model.size_bytes} metrics={one.metrics} reported={one.reported} datasets={one.datasets ?? {}} />
        </Part>
        <Part title="In the silos">
          <Failure error={deployments.error} retry={() => void deployments.refetch()} />
          {deployments.data && <Silos name={name} version={number} deployments={deployments.data} />}
        </Part>
      </Stack>
      <Modal opened={doing === "approve"} onClose={close} title={`Approve ${one.name} ${one.version}?`}>
        {doing === "approve" && <Approve view={view} close={close} />}
      </Modal>
      <Modal opened={doing === "deploy"} onClose={close} title={back ? `Roll back to ${one.name} ${one.version}?` : `Deploy ${one.name} ${one.version}?`} size="lg">
        {doing === "deploy" && <Deploy view={view} now={now} back={back} close={close} />}
      </Modal>
      <Modal opened={doing === "retire"} onClose={close} title={`Retire ${one.name} ${one.version}?`}>
        {doing === "retire" && <Retire view={view} close={close} />}
      </Modal>
    </>
  );
}

/** What this version waits for, where it is not one's own to do. */
function Next({ view, may }: { view: Version; may: Record<Doing, boolean> }) {
  const { who } = useSession();
  const { name, version, registered } = view.version;
  if (view.stage === "candidate" && !may.approve)
    return (
      <Alert variant="light" color="indigo" title="It waits for approval">
        <Text size="sm" mb="xs">
          Somebody who may approve models does it{!who?.approve_own && `; of what ${registered.by} registered, somebody else`}.
        </Text>
        <Command>{`septum model approve ${name} ${version}`}</Command>
      </Alert>
    );
  if (view.stage === "retired")
    return (
      <Alert variant="light" color="gray" title="It is retired">
        No silo uses it any more, and its file may be pruned.
      </Alert>
    );
  return null;
}

const COLOURS: Record<Row["state"], string> = { silent: "gray", waiting: "yellow", refused: "red", pulled: "blue", failed: "red", active: "teal" };

/** Each silo's word on this version; those that use another version of the name are told by it. */
function Silos({ name, version, deployments }: { name: string; version: number; deployments: readonly Deployment[] }) {
  const found = rows(deployments).filter((row) => row.version === version);
  const others = [...inUse(deployments)].filter(([, other]) => other !== version).sort();
  return (
    <Stack gap="sm">
      {found.length === 0 && (
        <>
          <Text c="dimmed">No silo was asked to use it yet.</Text>
          <Command>{`septum model deploy ${name} ${version} --group GROUP`}</Command>
        </>
      )}
      {found.length > 0 && (
        <Table.ScrollContainer minWidth={280}>
          <Table aria-label="Deployments">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Silo</Table.Th>
                <Table.Th>State</Table.Th>
                <Table.Th visibleFrom="sm">Reason</Table.Th>
                <Table.Th visibleFrom="sm">Said</Table.Th>
                <Table.Th ta="right" visibleFrom="md">
                  Deployment
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.map((row) => (
                <Table.Tr key={`${row.deployment} ${row.silo}`}>
                  <Table.Td>
                    {row.silo}
                    <Text size="xs" c="dimmed" hiddenFrom="sm" className="wrap-anywhere">
                      {row.reason}
                    </Text>
                  </Table.Td>
                  <Table.Td>
                    <Badge color={row.current ? COLOURS[row.state] : "gray"} variant="light" tt="none">
                      {row.current ? (row.state === "silent" ? "nothing said yet" : row.state) : "replaced"}
                    </Badge>
                  </Table.Td>
                  <Table.Td visibleFrom="sm" className="wrap-anywhere">{row.reason || "–"}</Table.Td>
                  <Table.Td visibleFrom="sm">{row.at ? <When unix={row.at} relative /> : "–"}</Table.Td>
                  <Table.Td ta="right" visibleFrom="md">
                    {row.deployment}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {others.length > 0 && (
        <Text size="sm" c="dimmed">
          Of other versions: {others.map(([silo, other]) => `${silo} is to use ${other}`).join(", ")}.
        </Text>
      )}
    </Stack>
  );
}

type Asked = { view: Version; close: () => void };

function Approve({ view, close }: Asked) {
  const { name, version, registered } = view.version;
  const approve = useChange(() => told(api.POST("/api/v1/models/versions/{name}/{version}/approve", { params: { path: { name, version } } })), close);
  return (
    <Asking error={approve.error} busy={approve.isPending} close={close} action={() => approve.mutate(undefined)} label="Approve" command={`septum model approve ${name} ${version}`}>
      <Text size="sm">
        {registered.by} registered it. With your approval it may be deployed to silos; no silo gets it by that alone. An approval stays: a version can only
        be retired after it.
      </Text>
    </Asking>
  );
}

function Retire({ view, close }: Asked) {
  const { name, version } = view.version;
  const users = view.used_by ?? [];
  const retire = useChange(() => told(api.POST("/api/v1/models/versions/{name}/{version}/retire", { params: { path: { name, version } } })), close);
  return (
    <Asking error={retire.error} busy={retire.isPending} close={close} action={() => retire.mutate(undefined)} label="Retire for good" danger command={`septum model retire ${name} ${version}`}>
      <Text size="sm">
        {users.length ? `${users.join(", ")} will use no version of ${name} any more, until another one is deployed there.` : "No silo uses it now."} This is for
        good: it can be neither approved nor deployed again, and its file may be pruned.
      </Text>
    </Asking>
  );
}

function Deploy({ view, now, back, close }: Asked & { now: ReadonlyMap<string, number>; back: boolean }) {
  const { can } = useSession();
  const { name, version } = view.version;
  const groups = useGroups(can("group.read"));
  const silos = useSilos(can("silo.read"));
  const [by, setBy] = useState("silos");
  const [group, setGroup] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const targets = by === "group" ? (groups.data?.find((one) => one.name === group)?.silos ?? []) : chosen;
  const wanted: Schemas["NewDeployment"] = by === "group" ? { name, version, group, silos: [] } : { name, version, group: "", silos: chosen };
  const deploy = useChange(() => told(api.POST("/api/v1/deployments", { body: wanted })), close);
  const ready = by === "group" ? group !== "" : chosen.length > 0;
  const where = by === "group" ? `--group ${group || "GROUP"}` : chosen.map((one) => `--silo ${one}`).join(" ") || "--silo NAME";
  return (
    <Asking error={deploy.error} busy={deploy.isPending} close={close} action={() => deploy.mutate(undefined)} label={back ? "Roll back" : "Deploy"} disabled={!ready} command={`septum model deploy ${name} ${version} ${where}`}>
      {(groups.data?.length ?? 0) > 0 && <SegmentedControl value={by} onChange={setBy} aria-label="To whom" data={[{ value: "silos", label: "To some silos" }, { value: "group", label: "To a group" }]} />}
      {by === "group" ? (
        <Select label="Group" description="A silo that joins the group later gets it, too" data={groups.data?.map((one) => one.name)} value={group || null} onChange={(value) => setGroup(value ?? "")} />
      ) : (
        <MultiSelect label="Silos" description="The others keep what they have" data={silos.data?.filter((one) => one.enrolled_at > 0 && one.status !== "revoked").map((one) => one.name)} value={chosen} onChange={setChosen} searchable />
      )}
      {targets.length > 0 && (
        <ul aria-label="What happens" style={{ margin: 0, paddingInlineStart: 20 }}>
          {effects(version, targets, now).map((line) => (
            <Text size="sm" component="li" key={line}>
              {line}
            </Text>
          ))}
        </ul>
      )}
      <Text size="sm" c="dimmed">
        It is a wish: each silo fetches it, and decides by its steward&apos;s word, its policy and its own test rows whether it predicts there.
      </Text>
    </Asking>
  );
}

type AskingProps = { children: ReactNode; error: unknown; busy: boolean; close: () => void; action: () => void; label: string; command: string; danger?: boolean; disabled?: boolean };

function Asking({ children, error, busy, close, action, label, command, danger = false, disabled = false }: AskingProps) {
  return (
    <Stack>
      {children}
      <Failure error={error} />
      <Text size="sm" c="dimmed">
        At a shell: <span className="mono wrap-anywhere">{command}</span>
      </Text>
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button color={danger ? "red" : undefined} onClick={action} loading={busy} disabled={disabled}>
          {label}
        </Button>
      </Group>
    </Stack>
  );
}
