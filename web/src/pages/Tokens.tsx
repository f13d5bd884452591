/** Which programs speak for me, with which rights, and until when? */
import { Button, Group, Modal, MultiSelect, NumberInput, Paper, Stack, Table, Text, TextInput, Title, Tooltip } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, type Schemas, told } from "../api/client";
import { usePace } from "../api/feed";
import { everything } from "../api/queries";
import { type Right, useSession } from "../api/session";
import { Command, Failure, Waiting, When } from "../components/Bits";
import { quoted } from "../lib/format";

type Token = Schemas["TokenView"];
const DAYS = 90;
const MOST_DAYS = 366;

export function Tokens() {
  const pace = usePace(30_000);
  const tokens = useQuery({
    queryKey: ["tokens"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/tokens", { params: { query: { after, limit: 1000 } } }))),
    refetchInterval: pace(),
  });
  const [making, setMaking] = useState(false);
  const [revoked, setRevoked] = useState<Token | null>(null);
  return (
    <Paper withBorder p="md" component="section" aria-label="Tokens for programs">
      <Group justify="space-between" mb="xs">
        <Title order={2} size="h5">
          Tokens for programs
        </Title>
        <Button variant="default" onClick={() => setMaking(true)}>
          New token
        </Button>
      </Group>
      <Text size="sm" c="dimmed" mb="sm">
        By a token a program speaks for you, with some of your rights, until a day. It takes it from <span className="mono">SEPTUM_TOKEN</span>.
      </Text>
      <Failure error={tokens.error} retry={() => void tokens.refetch()} />
      {tokens.isPending && <Waiting lines={2} />}
      {tokens.data?.length === 0 && (
        <Stack gap={4}>
          <Text size="sm">You have none. At a shell:</Text>
          <Command>septum token create nightly --days 30</Command>
        </Stack>
      )}
      {tokens.data && tokens.data.length > 0 && (
        <Table.ScrollContainer minWidth={280}>
          <Table aria-label="Tokens">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Token</Table.Th>
                <Table.Th>Ends</Table.Th>
                <Table.Th visibleFrom="sm">Used</Table.Th>
                <Table.Th aria-label="Actions" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {tokens.data.map((token) => (
                <Table.Tr key={token.id}>
                  <Table.Td>
                    <Text size="sm" fw={500} className="wrap-anywhere">
                      {token.title}
                    </Text>
                    <Rights rights={token.rights} />
                  </Table.Td>
                  <Table.Td>
                    {token.expires_at * 1000 < Date.now() ? <Text span size="sm" c="red">over since </Text> : null}
                    <When unix={token.expires_at} />
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <When unix={token.used_at} relative />
                  </Table.Td>
                  <Table.Td ta="right">
                    <Button size="compact-sm" variant="subtle" color="red" onClick={() => setRevoked(token)} aria-label={`Revoke ${token.title}`}>
                      Revoke
                    </Button>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={making} onClose={() => setMaking(false)} title="New token" size="lg">
        {making && <Make close={() => setMaking(false)} />}
      </Modal>
      <Modal opened={revoked !== null} onClose={() => setRevoked(null)} title={`Revoke ${revoked?.title ?? ""}?`}>
        {revoked && <Revoke token={revoked} close={() => setRevoked(null)} />}
      </Modal>
    </Paper>
  );
}

const FEW = 3;

function Rights({ rights }: { rights: readonly Right[] }) {
  const text = rights.length > FEW ? `${rights.slice(0, FEW).join(", ")} and ${rights.length - FEW} more` : rights.join(", ");
  return (
    <Tooltip label={rights.join(", ")} multiline maw={360} disabled={rights.length <= FEW}>
      <Text size="xs" c="dimmed" tabIndex={rights.length > FEW ? 0 : undefined}>
        {text}
      </Text>
    </Tooltip>
  );
}

/** The command that makes the same token. */
export function commandOf(title: string, days: number, rights: readonly string[]): string {
  return ["septum token create", title ? quoted(title) : "TITLE", `--days ${days}`, ...rights.map((right) => `--right ${right}`)].join(" ");
}

function Make({ close }: { close: () => void }) {
  const { who } = useSession();
  const queries = useQueryClient();
  const [title, setTitle] = useState("");
  const [days, setDays] = useState<number | string>(DAYS);
  const [rights, setRights] = useState<string[]>([]);
  const own = who?.rights ?? [];
  const make = useMutation({
    mutationFn: () => told(api.POST("/api/v1/tokens", { body: { title: title.trim(), days: Number(days), rights: rights as Right[] } })),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["tokens"] }),
    gcTime: 0, // its secret is kept nowhere
  });
  const fits = Number.isInteger(days) && Number(days) >= 1 && Number(days) <= MOST_DAYS;
  if (make.data)
    return (
      <Stack>
        <Text size="sm">
          The token {make.data.about.title}, until <When unix={make.data.about.expires_at} />. It is shown this once; keep it where others do not read:
        </Text>
        <Command secret>{make.data.token}</Command>
        <Group justify="flex-end">
          <Button onClick={close}>I have kept it</Button>
        </Group>
      </Stack>
    );
  return (
    <form
      aria-label="New token"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (title.trim() && fits) make.mutate();
      }}
    >
      <Stack>
        <TextInput label="Title" description="What it is for" placeholder="nightly" value={title} onChange={(event) => setTitle(event.currentTarget.value)} data-autofocus required withAsterisk={false} />
        <NumberInput label="Days" description={`How long it holds: 1 to ${MOST_DAYS}`} value={days} onChange={setDays} min={1} max={MOST_DAYS} allowDecimal={false} error={fits ? undefined : `1 to ${MOST_DAYS} days`} w={{ base: "100%", xs: 200 }} />
        <MultiSelect label="Rights" description={`Of your ${own.length}, those that it needs`} placeholder={rights.length ? undefined : "All of them"} data={[...own].sort()} value={rights} onChange={setRights} clearable searchable />
        <Failure error={make.error} />
        <Text size="sm" c="dimmed">
          At a shell: <span className="mono wrap-anywhere">{commandOf(title.trim(), fits ? Number(days) : DAYS, rights)}</span>
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={make.isPending} disabled={!title.trim() || !fits}>
            Make the token
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Revoke({ token, close }: { token: Token; close: () => void }) {
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => told(api.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: token.id } } })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["tokens"] });
      close();
    },
  });
  return (
    <Stack>
      <Text size="sm">Programs that use it are let in no more, at once. It cannot be taken back.</Text>
      <Command>{`septum token revoke ${token.id}`}</Command>
      <Failure error={revoke.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button color="red" onClick={() => revoke.mutate()} loading={revoke.isPending}>
          Revoke
        </Button>
      </Group>
    </Stack>
  );
}
