/** Which named sets of hyper-parameters does a package have, and how is one more made? Those given beside it can be taken back. */
import { Badge, Button, Group, Modal, SimpleGrid, Stack, Table, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, told } from "../api/client";
import type { App, Description } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Failure } from "../components/Bits";
import { quoted } from "../lib/format";
import { defaults, problem, type Value } from "../lib/plan";
import { HyperInput } from "./NewRun";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

type Values = Record<string, Value>;
type Props = { app: App; about: Description };

const said = (values: Values): string => Object.entries(values).map(([name, value]) => `${name}=${String(value)}`).join(" ");

export function Presets({ app, about }: Props) {
  const { can } = useSession();
  const queries = useQueryClient();
  const [open, { open: ask, close }] = useDisclosure();
  const drop = useMutation({
    mutationFn: (name: string) => told(api.DELETE("/api/v1/apps/{digest}/presets/{name}", { params: { path: { digest: app.digest, name } } })),
    onSuccess: () => refreshed(queries, app.digest),
  });
  const own = Object.entries(about.presets);
  const given = Object.entries((app.presets ?? {}) as Record<string, Values>).filter(([name]) => !(name in about.presets));
  const may = can("app.preset");
  return (
    <Stack gap="xs" mt="md" component="section" aria-label="Presets">
      {own.length + given.length > 0 && (
        <Table.ScrollContainer minWidth={280}>
          <Table aria-label="Presets">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Preset</Table.Th>
                <Table.Th>Sets</Table.Th>
                <Table.Th aria-label="Where it is from" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {[...own, ...given].map(([name, values]) => (
                <Table.Tr key={name}>
                  <Table.Td fw={500}>{name}</Table.Td>
                  <Table.Td className="mono wrap-anywhere">{said(values)}</Table.Td>
                  <Table.Td ta="right">
                    {name in about.presets ? (
                      <Badge variant="light" color="gray" tt="none">
                        in the package
                      </Badge>
                    ) : (
                      may && (
                        <Button size="compact-xs" variant="subtle" color="red" aria-label={`Take ${name} back`} loading={drop.isPending && drop.variables === name} onClick={() => drop.mutate(name)}>
                          Take back
                        </Button>
                      )
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Failure error={drop.error} />
      {may && (
        <Group>
          <Button size="compact-md" variant="default" onClick={ask}>
            New preset
          </Button>
        </Group>
      )}
      <Modal opened={open} onClose={close} title={`New preset for ${app.name} ${app.version}`} size="lg">
        {open && <NewPreset app={app} about={about} close={close} />}
      </Modal>
    </Stack>
  );
}

/** Everybody who starts a run is offered it: the app as it stands, and lists of apps, are asked for again. */
async function refreshed(queries: ReturnType<typeof useQueryClient>, digest: string): Promise<void> {
  await Promise.all([queries.invalidateQueries({ queryKey: ["app", digest] }), queries.invalidateQueries({ queryKey: ["apps"] })]);
}

function NewPreset({ app, about, close }: Props & { close: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [hyper, setHyper] = useState<Values>(() => defaults(about));
  const fields = Object.entries(about.hyper.properties);
  const before = defaults(about);
  const changed = Object.fromEntries(Object.entries(hyper).filter(([one, value]) => value !== before[one]));
  const wrong = fields.some(([one, field]) => problem(field, hyper[one]));
  const taken = name in about.presets;
  const make = useMutation({
    mutationFn: () => told(api.PUT("/api/v1/apps/{digest}/presets/{name}", { params: { path: { digest: app.digest, name } }, body: changed as never })),
    onSuccess: async () => {
      await refreshed(queries, app.digest);
      close();
    },
  });
  const nameError = taken ? "The package has a preset of that name, which stays" : name && !NAME.test(name) ? "Up to 64 letters, digits and _ . - after a letter or digit" : undefined;
  return (
    <form
      aria-label="New preset"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        <TextInput label="Name" value={name} onChange={(event) => setName(event.currentTarget.value)} error={nameError} data-autofocus required withAsterisk={false} />
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          {fields.map(([one, field]) => (
            <HyperInput key={one} name={one} field={field} value={hyper[one]} set={(value) => setHyper({ ...hyper, [one]: value })} />
          ))}
        </SimpleGrid>
        <Text size="sm" c="dimmed">
          It sets what differs from the defaults, and is offered to everybody who starts a run. The package and its digest stay as they are.
        </Text>
        <Command>{`septum app preset set ${app.name}==${app.version} ${quoted(name || "NAME")} ${Object.entries(changed).map(([one, value]) => quoted(`${one}=${String(value)}`)).join(" ")}`.trim()}</Command>
        <Failure error={make.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={make.isPending} disabled={!NAME.test(name) || taken || wrong || Object.keys(changed).length === 0}>
            Make the preset
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
