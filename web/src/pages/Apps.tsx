/** Which app packages can silos fetch, and how does another one come in? */
import { Anchor, Badge, Button, Modal, Table, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearchParams } from "react-router";
import { sendBytes } from "../api/client";
import { useApps } from "../api/queries";
import { useSession } from "../api/session";
import { Digest, Empty, Failure, Heading, Waiting, When } from "../components/Bits";
import { SendFile } from "../components/SendFile";
import { bytes, quoted } from "../lib/format";
import { signers } from "../lib/signatures";

export function Apps() {
  const { can } = useSession();
  const [query] = useSearchParams();
  const apps = useApps();
  const [open, { open: ask, close }] = useDisclosure(query.has("upload"));
  const upload = can("app.push") && <Button onClick={ask}>Upload a package</Button>;
  return (
    <>
      <Heading title="Apps">{upload}</Heading>
      <Failure error={apps.error} retry={() => void apps.refetch()} />
      {apps.isPending && <Waiting />}
      {apps.data?.length === 0 && (
        <Empty title="No package yet" command={"septum app build ./my-app\nseptum app push dist/my-app-1.0.0.septum"} action={upload}>
          An app is a folder with app.py and septum.toml. Built into one file it can be pushed here, for silos to fetch, read and approve. Nothing of it
          runs in the coordinator.
        </Empty>
      )}
      {apps.data && apps.data.length > 0 && (
        <Table.ScrollContainer minWidth={300}>
          <Table highlightOnHover aria-label="Apps">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>App</Table.Th>
                <Table.Th>Version</Table.Th>
                <Table.Th visibleFrom="sm">Signed by</Table.Th>
                <Table.Th visibleFrom="md">Digest</Table.Th>
                <Table.Th visibleFrom="sm" ta="right">Size</Table.Th>
                <Table.Th visibleFrom="xs">Pushed</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {apps.data.map((app) => {
                const by = signers(app.signatures);
                return (
                  <Table.Tr key={app.digest}>
                    <Table.Td>
                      <Anchor component={Link} to={`/apps/${app.digest}`} fw={500}>
                        {app.name}
                      </Anchor>
                    </Table.Td>
                    <Table.Td>{app.version}</Table.Td>
                    <Table.Td visibleFrom="sm">
                      {by.length ? by.map((one) => <Badge key={one} variant="light" color="teal" tt="none">{one}</Badge>) : <Text span size="sm" c="dimmed">nobody</Text>}
                    </Table.Td>
                    <Table.Td visibleFrom="md"><Digest digest={app.digest} /></Table.Td>
                    <Table.Td visibleFrom="sm" ta="right">{bytes(app.blob.size_bytes)}</Table.Td>
                    <Table.Td visibleFrom="xs"><When unix={app.pushed_at} relative /></Table.Td>
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Modal opened={open && can("app.push")} onClose={close} title="Upload a package">
        <Upload close={close} />
      </Modal>
    </>
  );
}

async function digestOf(file: File): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return `sha256:${[...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function Upload({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const send = async (file: File): Promise<void> => {
    const digest = await digestOf(file);
    await sendBytes("PUT", `/api/v1/apps/${encodeURIComponent(digest)}`, file);
    await queries.invalidateQueries({ queryKey: ["apps"] });
    close();
    await navigate(`/apps/${digest}`);
  };
  return (
    <SendFile accept=".septum" go="Upload" send={send} command={(name) => `septum app push ${name ? quoted(name) : "dist/my-app-1.0.0.septum"}`} close={close}>
      A .septum file, as <span className="mono">septum app build</span> makes it. The coordinator verifies all of it and runs nothing of it; whether it runs
      is decided in each silo.
    </SendFile>
  );
}
