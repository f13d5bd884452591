/** Which silos are there, which are online, and how does another one come in? */
import { Anchor, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { api, told } from "../api/client";
import { useOrganisations, useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Empty, Failure, Heading, SiloStatus, Waiting, When } from "../components/Bits";
import { NAME, NAME_RULE } from "../lib/format";

export function Silos() {
  const { can } = useSession();
  const silos = useSilos();
  const [open, { open: ask, close }] = useDisclosure();
  const invite = can("silo.invite") && <Button onClick={ask}>Invite a silo</Button>;
  return (
    <>
      <Heading title="Silos">{invite}</Heading>
      <Failure error={silos.error} retry={() => void silos.refetch()} />
      {silos.isPending && <Waiting />}
      {silos.data?.length === 0 && (
        <Empty title="No silo yet" command="septum silo invite st-marys" action={invite}>
          A silo is an agent beside an organisation&apos;s data. It dials out to this coordinator, and no record leaves it.
        </Empty>
      )}
      {silos.data && silos.data.length > 0 && (
        <Table.ScrollContainer minWidth={300}>
          <Table highlightOnHover aria-label="Silos">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Silo</Table.Th>
                <Table.Th>Status</Table.Th>
                <Table.Th visibleFrom="sm">Organisation</Table.Th>
                <Table.Th>Seen</Table.Th>
                <Table.Th visibleFrom="md">septum</Table.Th>
                <Table.Th visibleFrom="md">Labels</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {silos.data.map((silo) => (
                <Table.Tr key={silo.name}>
                  <Table.Td>
                    <Anchor component={Link} to={`/silos/${silo.name}`} fw={500}>
                      {silo.name}
                    </Anchor>
                  </Table.Td>
                  <Table.Td>
                    <SiloStatus status={silo.status} />
                  </Table.Td>
                  <Table.Td visibleFrom="sm">{silo.organisation ?? "default"}</Table.Td>
                  <Table.Td>
                    <When unix={silo.seen_at} relative />
                  </Table.Td>
                  <Table.Td visibleFrom="md">{silo.septum || "–"}</Table.Td>
                  <Table.Td visibleFrom="md">{Object.entries(silo.labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ") || "–"}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={open} onClose={close} title="Invite a silo" size="lg">
        {open && <Invite close={close} />}
      </Modal>
    </>
  );
}

function Invite({ close }: { close: () => void }) {
  const { can } = useSession();
  const queries = useQueryClient();
  const organisations = useOrganisations(can("org.read"));
  const [name, setName] = useState("");
  const [organisation, setOrganisation] = useState("default");
  const invite = useMutation({
    mutationFn: () => told(api.POST("/api/v1/silos/{name}/invite", { params: { path: { name }, query: { organisation } } })),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["silos"] }),
  });
  const made = invite.data;
  const fits = NAME.test(name);
  if (made)
    return (
      <Stack>
        <Text size="sm">
          On the machine beside the data of {made.silo}, within 24 hours (until <When unix={made.expires_at} />). The token is shown this once, and
          works once:
        </Text>
        <Command secret>{`export SEPTUM_INVITATION=${made.token}\nseptum silo enroll --url ${made.url || window.location.origin} --dir ./septum`}</Command>
        <Text size="sm">Then, and whenever the machine starts:</Text>
        <Command>septum silo start --dir ./septum</Command>
        <Group justify="flex-end">
          <Button onClick={close}>Done</Button>
        </Group>
      </Stack>
    );
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        invite.mutate();
      }}
    >
      <Stack>
        <TextInput label="Name" description="Lower-case letters, digits and hyphens; it stays" placeholder="st-marys" value={name} onChange={(event) => setName(event.currentTarget.value)} error={name && !fits ? NAME_RULE : undefined} data-autofocus required withAsterisk={false} />
        {(organisations.data?.length ?? 0) > 1 && (
          <Select label="Organisation" data={organisations.data?.map((one) => ({ value: one.name, label: one.title || one.name }))} value={organisation} onChange={(value) => setOrganisation(value ?? "default")} allowDeselect={false} />
        )}
        <Failure error={invite.error} />
        <Text size="sm" c="dimmed">
          At a shell: <span className="mono">septum silo invite {name || "NAME"}</span>
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={invite.isPending} disabled={!fits}>
            Make the invitation
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
