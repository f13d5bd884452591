/** What has happened in the federation, and who did it? The newest first, and what comes as it does. */
import { Anchor, Badge, Button, Group, MultiSelect, Select, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { activity, type ActivityWanted, type Change, useLive, usePace } from "../api/feed";
import { PAGE, useApps, useProjects, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, Waiting, When } from "../components/Bits";
import { Pages } from "../components/Pages";
import { beside, Sought } from "../components/Sought";
import { quoted } from "../lib/format";
import { happened, isBad, KINDS, NOUNS } from "../lib/happened";

const CHOICES = NOUNS.map((noun) => ({
  group: noun,
  items: [{ value: noun, label: `all of ${noun}` }, ...KINDS.filter((kind) => kind.startsWith(`${noun}.`)).map((kind) => ({ value: kind, label: kind }))],
}));
const KNOWN = new Set<string>([...NOUNS, ...KINDS]);

/** The command that lists the same. */
export function commandOf({ project, run, silo, kind }: ActivityWanted): string {
  const given = [["--project", project], ["--run", run], ["--silo", silo], ...kind.map((one) => ["--kind", one])];
  return ["septum log events", ...given.filter(([, value]) => value).map(([name, value]) => `${name} ${quoted(value ?? "")}`)].join(" ");
}

export function Activity() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const live = useLive();
  const pace = usePace();
  const wanted = {
    after: query.get("after") ?? "",
    project: query.get("project") ?? "",
    run: query.get("run") ?? "",
    silo: query.get("silo") ?? "",
    kind: query.getAll("kind").filter((kind) => KNOWN.has(kind)),
  };
  const change = (name: string, values: string[], replace = false): void => {
    const next = new URLSearchParams(query);
    next.delete("after");
    next.delete(name);
    for (const value of values) next.append(name, value);
    setQuery(next, { replace });
  };
  const found = useQuery({
    queryKey: ["activity", wanted],
    queryFn: () => activity(wanted, PAGE),
    refetchInterval: pace(),
    placeholderData: (old) => old,
  });
  const silos = useSilos(can("silo.read"));
  const projects = useProjects(can("project.read"));
  const apps = useApps(can("app.read"));
  const digests = useMemo(() => new Map(apps.data?.map((app) => [`${app.name}==${app.version}`, app.digest])), [apps.data]);
  const filtered = Boolean(wanted.project || wanted.run || wanted.silo || wanted.kind.length);
  const none = found.data?.items.length === 0;
  return (
    <>
      <Heading
        title="Activity"
        shown={
          <Badge variant="dot" color={live ? "teal" : "orange"} tt="none" data-testid="feed">
            {live ? "live" : "asked every 5 s"}
          </Badge>
        }
      />
      <Group mb="md" gap="sm">
        <MultiSelect aria-label="What" placeholder={wanted.kind.length ? undefined : "Anything"} data={CHOICES} value={wanted.kind} onChange={(values) => change("kind", values)} clearable searchable w={{ base: "100%", sm: 260 }} />
        {(silos.data?.length ?? 0) > 0 && <Select aria-label="Silo" placeholder="Any silo" data={silos.data?.map((one) => one.name)} value={wanted.silo || null} onChange={(value) => change("silo", value ? [value] : [])} clearable searchable w={beside(170)} />}
        {(projects.data?.length ?? 0) > 0 && <Select aria-label="Project" placeholder="Any project" data={projects.data?.map((one) => one.name)} value={wanted.project || null} onChange={(value) => change("project", value ? [value] : [])} clearable searchable w={beside(170)} />}
        <Sought aria-label="Run" placeholder="Any run: r-..." value={wanted.run} set={(value) => change("run", value.trim() ? [value.trim()] : [], true)} w={beside(170)} />
      </Group>
      <Failure error={found.error} retry={() => void found.refetch()} />
      {found.isPending && <Waiting />}
      {none && (
        <Empty
          title={filtered || wanted.after ? "Nothing is like this" : "Nothing has happened yet"}
          command={commandOf(wanted)}
          action={filtered && <Button variant="default" onClick={() => setQuery({})}>Everything</Button>}
        >
          {filtered ? "Other filters find others." : "What changes in what you may see stands here: runs, silos, apps, groups, projects, people."}
        </Empty>
      )}
      {found.data && !none && (
        <Table.ScrollContainer minWidth={300}>
          <Table highlightOnHover aria-label="Activity">
            <Table.Thead>
              <Table.Tr>
                <Table.Th w={170} visibleFrom="sm">When</Table.Th>
                <Table.Th>What</Table.Th>
                <Table.Th visibleFrom="sm">By</Table.Th>
                <Table.Th visibleFrom="md">Project</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.data.items.map((one) => (
                <Table.Tr key={one.seq} data-testid={one.change.kind}>
                  <Table.Td visibleFrom="sm">
                    <When unix={one.at} />
                  </Table.Td>
                  <Table.Td>
                    <Sentence change={one.change} apps={digests} />
                    <Text size="xs" c="dimmed" hiddenFrom="sm">
                      <When unix={one.at} />
                      {one.change.by && `, by ${one.change.by}`}
                    </Text>
                  </Table.Td>
                  <Table.Td visibleFrom="sm">{one.change.by || <Text span c="dimmed">–</Text>}</Table.Td>
                  <Table.Td visibleFrom="md">{one.change.project || <Text span c="dimmed">–</Text>}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Pages next={found.data?.next} />
    </>
  );
}

/** A change in words; it leads to what it is about, for whoever may look there. */
export function Sentence({ change, apps }: { change: Change; apps: ReadonlyMap<string, string> }) {
  const { can } = useSession();
  return (
    <Text size="sm" className="wrap-anywhere" component="span" c={isBad(change) ? "red" : undefined}>
      {happened(change, apps).map((part, index) =>
        typeof part === "string" || !can(part.right) ? (
          <span key={index}>{typeof part === "string" ? part : part.text}</span>
        ) : (
          <Anchor key={index} component={Link} to={part.to} size="sm" underline="always" className={part.to.startsWith("/runs/") ? "whole" : undefined}>
            {part.text}
          </Anchor>
        ),
      )}
    </Text>
  );
}
