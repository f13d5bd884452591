/** Which projects and groups of silos are there? What runs belong to, and whom they may ask. */
import { Anchor, Badge, Button, Group as Row, Modal, MultiSelect, Paper, Select, Stack, Table, Tabs, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { api, told } from "../api/client";
import { useGroups, useOrganisations, useProjects, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Empty, Failure, Heading, Waiting, When } from "../components/Bits";

export function Projects() {
  const { can } = useSession();
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") === "groups" && can("group.read") ? "groups" : "projects";
  const [making, setMaking] = useState<"" | "project" | "group">("");
  const projects = useProjects();
  const groups = useGroups(can("group.read"));
  const queries = useQueryClient();
  const close = useMutation({
    mutationFn: (name: string) => told(api.POST("/api/v1/projects/{name}/close", { params: { path: { name } } })),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["projects"] }),
  });
  const newProject = can("project.manage") && <Button onClick={() => setMaking("project")}>New project</Button>;
  const newGroup = can("group.manage") && <Button variant={tab === "groups" ? "filled" : "default"} onClick={() => setMaking("group")}>New group</Button>;
  return (
    <>
      <Heading title="Projects">
        {newGroup}
        {tab === "projects" && newProject}
      </Heading>
      <Tabs value={tab} onChange={(next) => setQuery(next === "groups" ? { tab: "groups" } : {})}>
        <Tabs.List mb="lg">
          <Tabs.Tab value="projects">Projects</Tabs.Tab>
          {can("group.read") && <Tabs.Tab value="groups">Groups of silos</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="projects">
          <Failure error={projects.error ?? close.error} retry={() => void projects.refetch()} />
          {projects.isPending && <Waiting />}
          {projects.data?.length === 0 && (
            <Empty title="No project yet" command={"septum group create cardiology --silos cleveland,hungary\nseptum project create heart --group cardiology"} action={newProject}>
              A project is what runs belong to, over the silos of a group. Roles can be given over one.
            </Empty>
          )}
          <Stack>
            {projects.data?.map((project) => (
              <Paper withBorder p="md" key={project.name}>
                <Row justify="space-between" align="flex-start">
                  <div>
                    <Row gap="xs">
                      <Anchor component={Link} to={`/runs?project=${project.name}`} fw={600}>
                        {project.name}
                      </Anchor>
                      {project.closed && (
                        <Badge color="gray" variant="light" tt="none">
                          closed
                        </Badge>
                      )}
                    </Row>
                    {project.description && <Text size="sm">{project.description}</Text>}
                    <Text size="sm" c="dimmed">
                      group {project.group}: {project.silos.join(", ") || "no silo"} · of {project.organisations.join(", ")} · since <When unix={project.created_at} />
                    </Text>
                  </div>
                  <Row gap="xs">
                    {can("run.submit") && !project.closed && (
                      <Button size="compact-sm" variant="default" component={Link} to={`/runs/new?project=${project.name}`}>
                        New run
                      </Button>
                    )}
                    {can("project.manage") && !project.closed && (
                      <Button size="compact-sm" variant="subtle" color="red" onClick={() => close.mutate(project.name)} loading={close.isPending && close.variables === project.name}>
                        Close
                      </Button>
                    )}
                  </Row>
                </Row>
              </Paper>
            ))}
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="groups">
          <Failure error={groups.error} />
          {groups.isPending && <Waiting />}
          {groups.data?.length === 0 && (
            <Empty title="No group yet" command="septum group create cardiology --silos cleveland,hungary" action={newGroup}>
              A group is silos under one name, for projects to run over.
            </Empty>
          )}
          {groups.data && groups.data.length > 0 && (
            <Table.ScrollContainer minWidth={300}>
              <Table aria-label="Groups">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Group</Table.Th>
                    <Table.Th>Silos</Table.Th>
                    <Table.Th visibleFrom="sm">Open to</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {groups.data.map((group) => (
                    <Table.Tr key={group.name}>
                      <Table.Td fw={500}>{group.name}</Table.Td>
                      <Table.Td>{group.silos.join(", ") || "none"}</Table.Td>
                      <Table.Td visibleFrom="sm">{group.open_to || "–"}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          )}
        </Tabs.Panel>
      </Tabs>
      <Modal opened={making === "project"} onClose={() => setMaking("")} title="New project">
        {making === "project" && <NewProject close={() => setMaking("")} newGroup={() => setMaking("group")} />}
      </Modal>
      <Modal opened={making === "group"} onClose={() => setMaking("")} title="New group of silos">
        {making === "group" && <NewGroup close={() => setMaking("")} />}
      </Modal>
    </>
  );
}

function NewProject({ close, newGroup }: { close: () => void; newGroup: () => void }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const groups = useGroups();
  const organisations = useOrganisations(can("org.read"));
  const [name, setName] = useState("");
  const [group, setGroup] = useState("");
  const [description, setDescription] = useState("");
  const [owners, setOwners] = useState<string[]>(["default"]);
  const make = useMutation({
    mutationFn: () => told(api.POST("/api/v1/projects", { body: { name, group, description, organisations: owners } })),
    onSuccess: async () => {
      void queries.invalidateQueries({ queryKey: ["projects"] });
      close();
      await navigate("/projects");
    },
  });
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        <TextInput label="Name" placeholder="heart-disease" value={name} onChange={(event) => setName(event.currentTarget.value)} data-autofocus required withAsterisk={false} />
        <Select label="Group of silos" description="Whom its runs may ask" data={groups.data?.map((one) => one.name)} value={group || null} onChange={(value) => setGroup(value ?? "")} nothingFoundMessage="There is no group yet" required withAsterisk={false} />
        {groups.data?.length === 0 && can("group.manage") && (
          <Button variant="light" onClick={newGroup}>
            Make a group first
          </Button>
        )}
        <Textarea label="What it is for" value={description} onChange={(event) => setDescription(event.currentTarget.value)} autosize minRows={2} />
        {(organisations.data?.length ?? 0) > 1 && <MultiSelect label="Organisations that own it" data={organisations.data?.map((one) => one.name)} value={owners} onChange={setOwners} />}
        <Failure error={make.error} />
        <Row justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={make.isPending} disabled={!name || !group}>
            Make the project
          </Button>
        </Row>
      </Stack>
    </form>
  );
}

function NewGroup({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const silos = useSilos();
  const [name, setName] = useState("");
  const [members, setMembers] = useState<string[]>([]);
  const make = useMutation({
    mutationFn: () => told(api.POST("/api/v1/groups", { body: { name, silos: [...members].sort(), open_to: "" } })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["groups"] });
      close();
    },
  });
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        <TextInput label="Name" placeholder="cardiology" value={name} onChange={(event) => setName(event.currentTarget.value)} data-autofocus required withAsterisk={false} />
        <MultiSelect label="Silos" data={silos.data?.filter((one) => one.status !== "revoked").map((one) => one.name)} value={members} onChange={setMembers} searchable />
        <Failure error={make.error} />
        <Row justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={make.isPending} disabled={!name}>
            Make the group
          </Button>
        </Row>
      </Stack>
    </form>
  );
}
