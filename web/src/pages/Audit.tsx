/** Who did what, who looked at what, who was refused, and did anybody change the record of it? The audit log. */
import { Anchor, Badge, Button, Group, Modal, Select, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { type AuditEvent, type AuditWanted, audited, eventOf } from "../api/audit";
import { PAGE, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Empty, Fact, Failure, Heading, Waiting, When } from "../components/Bits";
import { Pages } from "../components/Pages";
import { Proof } from "../components/Proof";
import { beside, Sought } from "../components/Sought";
import { aboutOf, isBad, KINDS, NOUNS, plain, says } from "../lib/audited";
import { quoted } from "../lib/format";

const CHOICES = NOUNS.map((noun) => ({
  group: noun,
  items: [{ value: noun, label: `all of ${noun}` }, ...KINDS.filter((kind) => kind.startsWith(`${noun}.`)).map((kind) => ({ value: kind, label: kind }))],
}));
const KNOWN = new Set<string>([...NOUNS, ...KINDS]);
const TIME = /^[0-9TZ:.-]{0,40}$/;

/** The command that lists the same. */
export function commandOf(wanted: Partial<AuditWanted>): string {
  const given = (["kind", "by", "run", "silo", "since", "until"] as const).filter((name) => wanted[name]);
  return ["septum audit list", ...given.map((name) => `--${name} ${quoted(wanted[name] ?? "")}`)].join(" ");
}

/** What an address asks for; what it says in error is left out. */
function wantedIn(query: URLSearchParams): AuditWanted {
  const text = (name: string): string => query.get(name) ?? "";
  const time = (name: string): string => (TIME.test(text(name)) ? text(name) : "");
  return { after: /^\d{1,15}$/.test(text("after")) ? text("after") : "", kind: KNOWN.has(text("kind")) ? text("kind") : "", by: text("by"), run: text("run"), silo: text("silo"), since: time("since"), until: time("until") };
}

export function Audit() {
  const [query, setQuery] = useSearchParams();
  const { can } = useSession();
  const may = can("audit.read");
  const wanted = wantedIn(query);
  const go = (changes: Record<string, string>, replace = false): void => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes))
      if (value) next.set(name, value);
      else next.delete(name);
    setQuery(next, { replace });
  };
  const change = (name: string, value: string, replace = false): void => go({ after: "", [name]: value }, replace);
  const found = useQuery({ queryKey: ["audit", wanted], queryFn: () => audited(wanted, PAGE), placeholderData: (old) => old, enabled: may });
  const silos = useSilos(can("silo.read"));
  const filtered = Object.entries(wanted).some(([name, value]) => name !== "after" && value);
  const none = found.data?.items.length === 0;
  const opened = Number(query.get("event") ?? "") || 0;
  const close = (): void => go({ event: "" });
  if (!may)
    return (
      <>
        <Heading title="Audit" />
        <Empty title="You may not read the audit log">An auditor, an administrator of a silo or of the federation may.</Empty>
      </>
    );
  return (
    <>
      <Heading title="Audit" below="Who came in and who did not, what was changed and by whom, who looked at what, and who was refused. Filters take times in UTC." />
      <Proof />
      <Group my="md" gap="sm">
        <Select aria-label="What" placeholder="Anything" data={CHOICES} value={wanted.kind || null} onChange={(value) => change("kind", value ?? "")} clearable searchable w={{ base: "100%", sm: 220 }} />
        <Sought aria-label="By" placeholder="By anybody" value={wanted.by} set={(value) => change("by", value.trim(), true)} w={beside(150)} />
        {(silos.data?.length ?? 0) > 0 && <Select aria-label="Silo" placeholder="Any silo" data={silos.data?.map((one) => one.name)} value={wanted.silo || null} onChange={(value) => change("silo", value ?? "")} clearable searchable w={beside(150)} />}
        <Sought aria-label="Run" placeholder="Any run: r-..." value={wanted.run} set={(value) => change("run", value.trim(), true)} w={beside(150)} />
        <Sought aria-label="Since" placeholder="Since 2026-01-31" value={wanted.since} set={(value) => change("since", value.trim(), true)} w={beside(150)} />
        <Sought aria-label="Until" placeholder="Before 2026-02-28" value={wanted.until} set={(value) => change("until", value.trim(), true)} w={beside(160)} />
        <Button variant="default" onClick={() => void found.refetch()}>
          Look again
        </Button>
      </Group>
      <Failure error={found.error} retry={() => void found.refetch()} />
      {found.isPending && <Waiting />}
      {none && (
        <Empty title={filtered || wanted.after ? "Nothing is like this" : "Nothing was recorded yet"} command={commandOf(wanted)} action={filtered && <Button variant="default" onClick={() => setQuery({})}>Everything</Button>}>
          {filtered ? "Other filters find others." : "What is done in the federation, and who looks at it, stands here."}
        </Empty>
      )}
      {found.data && !none && <Events events={found.data.items} open={(seq) => go({ event: String(seq) })} />}
      <Pages next={found.data?.next} />
      <Modal opened={opened > 0} onClose={close} title={`Event ${opened}`} size="lg">
        {opened > 0 && <Opened seq={opened} />}
      </Modal>
    </>
  );
}

const unixOf = (at: string): number => Date.parse(at) / 1000;

function Events({ events, open }: { events: readonly AuditEvent[]; open: (seq: number) => void }) {
  return (
    <Table.ScrollContainer minWidth={300}>
      <Table highlightOnHover aria-label="Audit log">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={80} visibleFrom="sm">No</Table.Th>
            <Table.Th w={170} visibleFrom="sm">When</Table.Th>
            <Table.Th>What</Table.Th>
            <Table.Th w={150} visibleFrom="sm">By</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {events.map((one) => (
            <Table.Tr key={one.seq} data-testid={one.kind}>
              <Table.Td visibleFrom="sm">{one.seq}</Table.Td>
              <Table.Td visibleFrom="sm">
                <When unix={unixOf(one.at)} />
              </Table.Td>
              <Table.Td>
                <Anchor component="button" type="button" size="sm" ta="left" className="wrap-anywhere" c={isBad(one) ? "red" : undefined} onClick={() => open(one.seq)}>
                  {plain(one)}
                </Anchor>
                <Text size="xs" c="dimmed" className="wrap-anywhere">
                  {[one.kind, aboutOf(one)].filter(Boolean).join(" · ")}
                </Text>
                <Text size="xs" c="dimmed" hiddenFrom="sm">
                  <When unix={unixOf(one.at)} />
                  {one.by && `, by ${one.by}`}
                </Text>
              </Table.Td>
              <Table.Td visibleFrom="sm" className="wrap-anywhere">{one.by || <Text span c="dimmed">–</Text>}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** One event, with links to what it is about. */
function Opened({ seq }: { seq: number }) {
  const { can } = useSession();
  const found = useQuery({ queryKey: ["audit-event", seq], queryFn: async () => (await eventOf(seq)) ?? null, staleTime: Infinity });
  const event = found.data;
  if (found.isPending) return <Waiting lines={3} />;
  if (!event) return found.error ? <Failure error={found.error} retry={() => void found.refetch()} /> : <Text size="sm">There is no event {seq}.</Text>;
  return (
    <Stack gap="sm">
      <Text size="sm" className="wrap-anywhere">
        {says(event).map((part, index) =>
          typeof part === "string" || !can(part.right) ? (
            <span key={index}>{typeof part === "string" ? part : part.text}</span>
          ) : (
            <Anchor key={index} component={Link} to={part.to} size="sm" underline="always">
              {part.text}
            </Anchor>
          ),
        )}
      </Text>
      <Group component="dl" m={0} gap="lg" align="flex-start">
        <Fact name="kind">
          <Badge variant="light" color={isBad(event) ? "red" : "gray"} tt="none">
            {event.kind}
          </Badge>
        </Fact>
        <Fact name="at, UTC">{event.at}</Fact>
        <Fact name="by">{event.by || "nobody"}</Fact>
        {Object.entries(event.about ?? {}).map(([name, value]) => (
          <Fact key={name} name={name}>
            {name === "run" && can("run.read") ? <Anchor component={Link} to={`/runs/${value}`} size="sm" underline="always">{value}</Anchor> : value || "–"}
          </Fact>
        ))}
      </Group>
      <Text size="sm" c="dimmed">
        At a shell:
      </Text>
      <Command>{`septum audit list --before ${event.seq + 1} --limit 1`}</Command>
    </Stack>
  );
}
