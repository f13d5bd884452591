/** Is the audit log what it was? Its newest signed head, who countersigned it, a check of all of it here, and all of it as a file. */
import { Alert, Button, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { all, standing } from "../api/audit";
import { useSilos } from "../api/queries";
import { useSession } from "../api/session";
import { Changed, check, type Held, written } from "../lib/auditLog";
import { save } from "../lib/save";
import { Command, Copy, Fact, Failure, Part, When } from "./Bits";

const TYPE = "application/x-ndjson"; // lines of JSON

const count = (number: number, noun: string): string => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;

export function Proof() {
  const { can } = useSession();
  const found = useQuery({ queryKey: ["audit-standing"], queryFn: standing, refetchInterval: 60_000 }); // a head is signed each minute
  const silos = useSilos(can("silo.read"));
  const [read, setRead] = useState(0);
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort();
  }, []);
  const verify = useMutation({
    mutationFn: async () => {
      setRead(0);
      return check(await all(leaving.current.signal), setRead);
    },
    onSettled: () => found.refetch(),
  });
  const take = useMutation({
    mutationFn: async () => {
      const lines: string[] = [];
      for await (const line of written(await all(leaving.current.signal))) lines.push(line);
      save(`audit-${new Date().toISOString().slice(0, 10)}.jsonl`, new Blob(lines, { type: TYPE }));
    },
  });
  const head = found.data?.head;
  const signed = found.data?.silos ?? new Map<string, number>();
  const enrolled = (silos.data ?? []).filter((silo) => silo.enrolled_at && silo.status !== "revoked").map((silo) => silo.name);
  const names = [...new Set([...signed.keys(), ...enrolled])].sort();
  const checks = Boolean(globalThis.crypto?.subtle); // browsers have it on pages that came over TLS or from this machine
  return (
    <Part title="Nobody changed it?">
      <Stack gap="sm">
        <Failure error={found.error} retry={() => void found.refetch()} />
        {found.data && !head && <Text size="sm">No head was signed yet: the coordinator signs one each round and each minute.</Text>}
        {found.data && head && (
          <SimpleGrid cols={{ base: 1, sm: 2 }} component="dl" m={0} spacing="sm">
            <Fact name="Newest signed head">
              {count(head.head.size, "event")} of {found.data.events.toLocaleString()}, <When unix={Date.parse(head.head.at) / 1000} />
            </Fact>
            <Fact name="Countersigned by silos">
              {names.length === 0 && "none"}
              {names.map((name) => (
                <div key={name}>
                  {name} {signed.has(name) ? `up to event ${signed.get(name)?.toLocaleString()}` : "nothing lately"}
                </div>
              ))}
            </Fact>
            <Fact name="Root">
              <span className="mono">{head.head.root}</span> <Copy text={head.head.root} label="Copy the root" />
            </Fact>
            <Fact name="Signed by">
              <span className="mono">{head.key}</span> <Copy text={head.key} label="Copy the key" />
            </Fact>
          </SimpleGrid>
        )}
        <Group gap="sm">
          {checks && (
            <Button onClick={() => verify.mutate()} loading={verify.isPending}>
              Verify
            </Button>
          )}
          <Button variant="default" onClick={() => take.mutate()} loading={take.isPending}>
            Export
          </Button>
          {verify.isPending && (
            <Text size="sm" role="status">
              {count(read, "event")} checked
            </Text>
          )}
        </Group>
        {verify.data && <Found held={verify.data} />}
        {verify.error instanceof Changed ? (
          <Alert color="red" variant="light" role="alert" title="The audit log does not hold">
            <Text size="sm" className="wrap-anywhere">
              {verify.error.message}. Compare with an export or a backup from before; silos hold heads that were signed.
            </Text>
          </Alert>
        ) : (
          <Failure error={verify.error} />
        )}
        <Failure error={take.error} />
        <Text size="sm" c="dimmed">
          The coordinator sends this page, too. Whoever trusts no server checks at a shell, with a key from a silo (septum silo audit verify prints it):
        </Text>
        <Command>septum audit verify --key ed25519:...</Command>
      </Stack>
    </Part>
  );
}

function Found({ held }: { held: Held }) {
  return (
    <Alert color={held.signatures ? "teal" : "yellow"} variant="light" role="status" title={`The audit log holds: ${count(held.events, "event")}, ${count(held.heads, "signed head")}`}>
      <Text size="sm">
        {held.silos.size ? `Countersigned: ${[...held.silos].map(([silo, size]) => `${silo} up to event ${size.toLocaleString()}`).join(", ")}.` : "No silo has countersigned it yet."}
        {!held.signatures && " Signatures were not checked: this browser knows no Ed25519."}
      </Text>
    </Alert>
  );
}
