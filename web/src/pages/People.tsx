/** Who may sign in, with which roles, and how does somebody new come in? */
import { Badge, Box, Button, Group, Menu, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, type Schemas, told } from "../api/client";
import { usePace } from "../api/feed";
import { everything, type Person, useOrganisations, useProjects } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Empty, Failure, Heading, Waiting, When } from "../components/Bits";

const ROLES: Schemas["Role"][] = ["viewer", "auditor", "reviewer", "researcher", "silo-admin", "federation-admin"];
const COLOURS: Record<Person["status"], string> = { active: "teal", invited: "indigo", suspended: "gray" };

/** A grant as people write it: ROLE, ROLE@ORGANISATION, ROLE@project:NAME. */
export function grantText(grant: Schemas["Grant"]): string {
  const scope = grant.scope;
  if (!scope || scope.over === "federation" || !scope.over) return grant.role;
  return scope.over === "project" ? `${grant.role}@project:${scope.name}` : `${grant.role}@${scope.name}`;
}

export function People() {
  const { can, who } = useSession();
  const pace = usePace(30_000);
  const people = useQuery({
    queryKey: ["people"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/people", { params: { query: { after, limit: 1000 } } }))),
    refetchInterval: pace(),
  });
  const [inviting, setInviting] = useState(false);
  const [asked, setAsked] = useState<{ what: "reset" | "suspend"; person: Person } | null>(null);
  const [granting, setGranting] = useState<Person | null>(null);
  const invite = can("user.manage") && <Button onClick={() => setInviting(true)}>Invite somebody</Button>;
  return (
    <>
      <Heading title="People">{invite}</Heading>
      <Failure error={people.error} retry={() => void people.refetch()} />
      {people.isPending && <Waiting />}
      {people.data?.length === 0 && (
        <Empty title="Nobody to see" command="septum user invite ada --role researcher" action={invite}>
          People of the organisations that you have a role over would stand here.
        </Empty>
      )}
      {people.data && people.data.length > 0 && (
        <Table.ScrollContainer minWidth={300}>
          <Table highlightOnHover aria-label="People">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th visibleFrom="sm">Organisation</Table.Th>
                <Table.Th visibleFrom="sm">Roles</Table.Th>
                <Table.Th visibleFrom="xs">Status</Table.Th>
                <Table.Th visibleFrom="md">Second factor</Table.Th>
                {can("user.manage") && <Table.Th aria-label="Actions" />}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {people.data.map((person) => (
                <Table.Tr key={person.name}>
                  <Table.Td>
                    <Text size="sm" fw={500}>
                      {person.full_name || person.name}
                    </Text>
                    <Text size="xs" c="dimmed">
                      {person.name}
                      {person.name === who?.name && " · you"}
                    </Text>
                    <Box hiddenFrom="sm" mt={4}>
                      <Roles grants={person.grants} />
                    </Box>
                  </Table.Td>
                  <Table.Td visibleFrom="sm">{person.organisation}</Table.Td>
                  <Table.Td visibleFrom="sm">
                    <Roles grants={person.grants} />
                  </Table.Td>
                  <Table.Td visibleFrom="xs">
                    <Badge color={COLOURS[person.status]} variant="light" tt="none">
                      {person.status}
                    </Badge>
                  </Table.Td>
                  <Table.Td visibleFrom="md">{person.totp ? "yes" : "no"}</Table.Td>
                  {can("user.manage") && (
                    <Table.Td ta="right">
                      <Actions person={person} ask={setAsked} grant={() => setGranting(person)} />
                    </Table.Td>
                  )}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={inviting} onClose={() => setInviting(false)} title="Invite somebody" size="lg">
        {inviting && <Invite close={() => setInviting(false)} />}
      </Modal>
      <Modal opened={asked !== null} onClose={() => setAsked(null)} title={asked ? `${asked.what === "reset" ? "Reset" : "Suspend"} ${asked.person.name}?` : ""} size="lg">
        {asked && <Confirm {...asked} close={() => setAsked(null)} />}
      </Modal>
      <Modal opened={granting !== null} onClose={() => setGranting(null)} title={`Roles of ${granting?.name ?? ""}`}>
        {granting && <Grants person={granting} close={() => setGranting(null)} />}
      </Modal>
    </>
  );
}

function Roles({ grants }: { grants: Person["grants"] }) {
  return (
    <Group gap={4}>
      {grants.map((grant) => (
        <Badge key={grantText(grant)} variant="default" tt="none" fw={500}>
          {grantText(grant)}
        </Badge>
      ))}
      {!grants.length && (
        <Text size="sm" c="dimmed">
          no role
        </Text>
      )}
    </Group>
  );
}

function Actions({ person, ask, grant }: { person: Person; ask: (asked: { what: "reset" | "suspend"; person: Person }) => void; grant: () => void }) {
  const queries = useQueryClient();
  const { who } = useSession();
  const restore = useMutation({
    mutationFn: () => told(api.POST("/api/v1/people/{name}/restore", { params: { path: { name: person.name } } })),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["people"] }),
  });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" size="compact-sm" aria-label={`Change ${person.name}`}>
          Change
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={grant}>Roles</Menu.Item>
        <Menu.Item onClick={() => ask({ what: "reset", person })}>Reset the password</Menu.Item>
        {person.status === "suspended" ? (
          <Menu.Item onClick={() => restore.mutate()}>Let in again</Menu.Item>
        ) : (
          person.name !== who?.name && (
            <Menu.Item color="red" onClick={() => ask({ what: "suspend", person })}>
              Suspend
            </Menu.Item>
          )
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function Confirm({ what, person, close }: { what: "reset" | "suspend"; person: Person; close: () => void }) {
  const queries = useQueryClient();
  const params = { path: { name: person.name } };
  const act = useMutation<Schemas["InvitationView"] | null>({
    mutationFn: async () => {
      if (what === "reset") return told(api.POST("/api/v1/people/{name}/reset", { params }));
      await told(api.POST("/api/v1/people/{name}/suspend", { params }));
      return null;
    },
    onSuccess: (made) => {
      void queries.invalidateQueries({ queryKey: ["people"] });
      if (!made) close();
    },
  });
  if (act.data) return <Invited made={act.data} close={close} />;
  return (
    <Stack>
      <Text size="sm">
        {what === "reset"
          ? "Password, second factor, sessions and tokens are forgotten, and a link is made by which they come in once."
          : "They are let in no more; their sessions and tokens end at once. They can be let in again."}
      </Text>
      <Command>{`septum user ${what} ${person.name}`}</Command>
      <Failure error={act.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button color="red" onClick={() => act.mutate()} loading={act.isPending}>
          {what === "reset" ? "Reset" : "Suspend"}
        </Button>
      </Group>
    </Stack>
  );
}

function Invited({ made, close }: { made: Schemas["InvitationView"]; close: () => void }) {
  return (
    <Stack>
      <Text size="sm">
        Send this link to {made.name}, by a way that others do not read. It is shown this once, works once, and until <When unix={made.expires_at} />:
      </Text>
      <Command secret>{made.link}</Command>
      <Group justify="flex-end">
        <Button onClick={close}>Done</Button>
      </Group>
    </Stack>
  );
}

function Invite({ close }: { close: () => void }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const organisations = useOrganisations(can("org.read"));
  const [name, setName] = useState("");
  const [fullName, setFullName] = useState("");
  const [organisation, setOrganisation] = useState("default");
  const [grant, setGrant] = useState<Schemas["Grant"] | null>({ role: "viewer", scope: { over: "federation", name: "" } });
  const invite = useMutation({
    mutationFn: () => told(api.POST("/api/v1/people", { body: { name, full_name: fullName, organisation, grants: grant ? [grant] : [] } })),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["people"] }),
  });
  if (invite.data) return <Invited made={invite.data} close={close} />;
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        invite.mutate();
      }}
    >
      <Stack>
        <TextInput label="Name" description="By which they sign in" placeholder="ada" value={name} onChange={(event) => setName(event.currentTarget.value)} data-autofocus required withAsterisk={false} />
        <TextInput label="Full name" placeholder="Ada Lovelace" value={fullName} onChange={(event) => setFullName(event.currentTarget.value)} />
        {(organisations.data?.length ?? 0) > 1 && <Select label="Organisation" data={organisations.data?.map((one) => ({ value: one.name, label: one.title || one.name }))} value={organisation} onChange={(value) => setOrganisation(value ?? "default")} allowDeselect={false} />}
        <GrantInput set={setGrant} />
        <Failure error={invite.error} />
        <Text size="sm" c="dimmed">
          At a shell: <span className="mono">septum user invite {name || "NAME"} --role {grant ? grantText(grant) : "ROLE"}</span>
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={invite.isPending} disabled={!name || !grant}>
            Make the invitation
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** A role and over what it is given. */
function GrantInput({ set }: { set: (grant: Schemas["Grant"] | null) => void }) {
  const { can } = useSession();
  const organisations = useOrganisations(can("org.read"));
  const projects = useProjects(can("project.read"));
  const [role, setRole] = useState<Schemas["Role"]>("viewer");
  const [over, setOver] = useState("federation:");
  const overs = [
    { value: "federation:", label: "the federation" },
    ...(role === "federation-admin" ? [] : (organisations.data ?? []).map((one) => ({ value: `organisation:${one.name}`, label: `organisation ${one.name}` }))),
    ...(role === "federation-admin" || role === "silo-admin" ? [] : (projects.data ?? []).map((one) => ({ value: `project:${one.name}`, label: `project ${one.name}` }))),
  ];
  const change = (nextRole: Schemas["Role"], nextOver: string): void => {
    setRole(nextRole);
    setOver(nextOver);
    const [kind = "federation", name = ""] = nextOver.split(":");
    set({ role: nextRole, scope: { over: kind as Schemas["Over"], name } });
  };
  return (
    <Group grow align="flex-start">
      <Select label="Role" data={ROLES} value={role} onChange={(value) => value && change(value as Schemas["Role"], value === "federation-admin" ? "federation:" : over)} allowDeselect={false} />
      <Select label="Over" data={overs} value={over} onChange={(value) => value && change(role, value)} allowDeselect={false} />
    </Group>
  );
}

function Grants({ person, close }: { person: Person; close: () => void }) {
  const queries = useQueryClient();
  const [grants, setGrants] = useState(person.grants);
  const [fresh, setFresh] = useState<Schemas["Grant"] | null>({ role: "viewer", scope: { over: "federation", name: "" } });
  const save = useMutation({
    mutationFn: () => told(api.PUT("/api/v1/people/{name}/grants", { params: { path: { name: person.name } }, body: { grants } })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["people"] });
      close();
    },
  });
  const has = fresh !== null && grants.some((one) => grantText(one) === grantText(fresh));
  return (
    <Stack>
      {grants.map((grant) => (
        <Group key={grantText(grant)} justify="space-between">
          <Text size="sm">{grantText(grant)}</Text>
          <Button size="compact-xs" variant="subtle" color="red" onClick={() => setGrants(grants.filter((one) => one !== grant))} aria-label={`Take ${grantText(grant)} back`}>
            Take back
          </Button>
        </Group>
      ))}
      {!grants.length && <Text size="sm" c="dimmed">No role: this person may sign in, and sees nothing.</Text>}
      <GrantInput set={setFresh} />
      <Button variant="default" disabled={!fresh || has} onClick={() => fresh && setGrants([...grants, fresh])}>
        Add this role
      </Button>
      <Failure error={save.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button onClick={() => save.mutate()} loading={save.isPending}>
          Keep these roles
        </Button>
      </Group>
    </Stack>
  );
}
