/** Which keys make this federation, who signed for that, and how do people compare them? The roster, as it is passed on. */
import { Alert, Anchor, Badge, Box, Button, Modal, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";
import { sendBytes } from "../api/client";
import { type Silo, useSilos } from "../api/queries";
import { type Roster, useRosters } from "../api/roster";
import { useSession } from "../api/session";
import { Command, Copy, Empty, Fact, Failure, Heading, Part, Waiting } from "../components/Bits";
import { SendFile } from "../components/SendFile";
import { quoted } from "../lib/format";
import { standing } from "../lib/roster";

const FIRST = "septum roster key ann.key\nseptum roster new --out r1.json --federation heart-2027 --threshold 1 \\\n  --admin ann=ann.key --silo st-marys=KEY\nseptum roster sign r1.json --key ann.key\nseptum roster push r1.json";

export function RosterPage() {
  const { can } = useSession();
  const rosters = useRosters();
  const silos = useSilos(can("silo.read"));
  const [open, { open: ask, close }] = useDisclosure();
  const found = rosters.data?.pages.flatMap((page) => page.items) ?? [];
  const [newest, ...older] = found;
  const hand = can("roster.push") && <Button onClick={ask}>Hand in a signed roster</Button>;
  return (
    <>
      <Heading title="Roster" below="Which silos, with which keys, make this federation. Its administrators sign that; each silo holds to what it pinned.">
        {hand}
      </Heading>
      <Failure error={rosters.error} retry={() => void rosters.refetch()} />
      {rosters.isPending && <Waiting />}
      {rosters.data && !newest && (
        <Empty title="No roster was handed in yet" command={FIRST} action={hand}>
          Without one a dishonest coordinator could add silos of its own, or swap keys. Administrators make it away from the coordinator, with keys of
          their own; KEY is what septum silo key prints in a silo.
        </Empty>
      )}
      {newest && (
        <Stack gap="lg">
          <Alert variant="light" color="gray" title="This page is the coordinator's word">
            A roster is there so that nobody has to trust it. Read the digest out to one another by another way than this network; what a silo holds to, it
            says itself. The coordinator is not told which silos have pinned it.
          </Alert>
          <Newest roster={newest} silos={silos.data ?? []} />
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
            <Part title="Compare">
              <Stack gap="xs">
                <Text size="sm">In a silo: its own fingerprint, and the roster that it holds to.</Text>
                <Command>{"septum silo key --dir ./septum\nseptum silo roster show --dir ./septum"}</Command>
                <Text size="sm">Its steward pins a newer one by the digest that an administrator said:</Text>
                <Command>{"septum silo roster fetch --dir ./septum\nseptum silo roster approve --dir ./septum --digest DIGEST"}</Command>
              </Stack>
            </Part>
            <Part title="Change it">
              <Stack gap="xs">
                <Text size="sm">An administrator, away from the coordinator, writes the one that follows; {newest.threshold === 1 ? "one signs" : `${newest.threshold} sign`} it.</Text>
                <Command>{`septum roster add-silo r${newest.serial}.json --out r${newest.serial + 1}.json --silo NAME=KEY\nseptum roster sign r${newest.serial + 1}.json --key KEYFILE`}</Command>
                <Text size="sm">It is handed in {can("roster.push") ? "here, or" : "by the operator,"} at a shell:</Text>
                <Command>{`septum roster push r${newest.serial + 1}.json`}</Command>
              </Stack>
            </Part>
          </SimpleGrid>
          {older.length > 0 && <History rosters={found} more={rosters.hasNextPage ? () => void rosters.fetchNextPage() : undefined} />}
        </Stack>
      )}
      <Modal opened={open && can("roster.push")} onClose={close} title="Hand in a signed roster">
        {open && <HandIn close={close} />}
      </Modal>
    </>
  );
}

const STANDINGS: Record<ReturnType<typeof standing>, [text: string, colour: string]> = {
  same: ["enrolled with this key", "teal"],
  other: ["enrolled with another key", "red"],
  revoked: ["revoked here", "orange"],
  absent: ["not enrolled", "gray"],
};

function Newest({ roster, silos }: { roster: Roster; silos: readonly Silo[] }) {
  const { can } = useSession();
  const outside = silos.filter((silo) => silo.enrolled_at && silo.status !== "revoked" && !(silo.name in roster.silos));
  return (
    <Part title={`Roster ${roster.serial} of ${roster.federation}`}>
      <Stack>
        <SimpleGrid cols={{ base: 1, sm: 2 }} component="dl" m={0} spacing="sm">
          <Fact name="Digest">
            <span className="mono">{roster.digest}</span> <Copy text={roster.digest} label="Copy the digest" />
          </Fact>
          <Fact name="Have to sign">
            {roster.threshold} of {Object.keys(roster.administrators).length} administrators
          </Fact>
          <Fact name="Signed by">
            {roster.signed_by.join(", ") || "nobody"}
            {roster.serial > 1 && `; of the administrators before: ${roster.signed_before.join(", ") || "nobody"}`}
          </Fact>
          {roster.previous && (
            <Fact name="Follows">
              <span className="mono">{roster.previous}</span>
            </Fact>
          )}
        </SimpleGrid>
        <Keys name="Administrator" keys={roster.administrators} says={(name) => (roster.signed_by.includes(name) ? ["has signed", "teal"] : ["has not signed", "gray"])} />
        <Keys name="Silo" keys={roster.silos} says={(name, key) => (can("silo.read") ? STANDINGS[standing(name, key, silos)] : undefined)} link={can("silo.read")} />
        {outside.length > 0 && (
          <Alert variant="light" color="yellow" title="Enrolled here, and not in the roster">
            {outside.map((silo) => silo.name).join(", ")}: a silo that holds to this roster does not train with {outside.length === 1 ? "it" : "them"}.
          </Alert>
        )}
      </Stack>
    </Part>
  );
}

type KeysProps = { name: string; keys: Record<string, string>; says: (name: string, key: string) => readonly [text: string, colour: string] | undefined; link?: boolean };

function Keys({ name, keys, says, link = false }: KeysProps) {
  return (
    <Table.ScrollContainer minWidth={300}>
      <Table aria-label={`${name}s and their keys`}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w="28%">{name}</Table.Th>
            <Table.Th>The key&apos;s fingerprint</Table.Th>
            <Table.Th ta="right" w="24%" aria-label="Standing" visibleFrom="sm" />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {Object.entries(keys).map(([one, key]) => {
            const said = says(one, key);
            const badge = said && (
              <Badge color={said[1]} variant="light" tt="none">
                {said[0]}
              </Badge>
            );
            return (
              <Table.Tr key={one}>
                <Table.Td>
                  {link ? (
                    <Anchor component={Link} to={`/silos/${one}`}>
                      {one}
                    </Anchor>
                  ) : (
                    one
                  )}
                </Table.Td>
                <Table.Td>
                  <span className="mono">{key}</span>
                  {badge && <Box hiddenFrom="sm">{badge}</Box>}
                </Table.Td>
                <Table.Td ta="right" visibleFrom="sm">
                  {badge}
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function History({ rosters, more }: { rosters: readonly Roster[]; more: (() => void) | undefined }) {
  return (
    <Part title="What each one changed">
      <Table.ScrollContainer minWidth={300}>
        <Table aria-label="Rosters">
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={80}>Roster</Table.Th>
              <Table.Th>Changes</Table.Th>
              <Table.Th visibleFrom="sm">Signed by</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rosters.map((one) => (
              <Table.Tr key={one.serial}>
                <Table.Td>{one.serial}</Table.Td>
                <Table.Td className="wrap-anywhere">
                  {one.changes.length ? one.changes.map((line) => <div key={line}>{line}</div>) : "nothing"}
                </Table.Td>
                <Table.Td visibleFrom="sm">{one.signed_by.join(", ")}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more && (
        <Button size="compact-sm" variant="subtle" onClick={more}>
          Older ones
        </Button>
      )}
    </Part>
  );
}

function HandIn({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const send = async (file: File): Promise<void> => {
    await sendBytes("PUT", "/api/v1/roster", file);
    await queries.invalidateQueries({ queryKey: ["rosters"] });
    close();
  };
  return (
    <SendFile accept=".json,application/json" go="Hand it in" send={send} command={(name) => `septum roster push ${name ? quoted(name) : "FILE"}`} close={close}>
      A roster that its administrators have signed. The coordinator checks that it follows the newest one; silos ask for it, and check it themselves.
    </SendFile>
  );
}
