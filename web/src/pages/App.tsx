/** What is in an app package? What leaves a silo, what it reads, what can be set: as a steward reads it before saying yes. */
import { Alert, Badge, Button, Group, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";
import { api, told } from "../api/client";
import { descriptionQuery, useApps } from "../api/queries";
import { useSession } from "../api/session";
import { Command, Digest, Empty, Failure, Heading, Part, Waiting, When } from "../components/Bits";
import { bytes } from "../lib/format";
import { signers } from "../lib/signatures";
import { Presets } from "./Presets";

export function AppPage() {
  const { digest = "" } = useParams();
  const { can } = useSession();
  const app = useQuery({
    queryKey: ["app", digest],
    queryFn: () => told(api.GET("/api/v1/apps/{digest}", { params: { path: { digest } } })),
  });
  const about = useQuery(descriptionQuery(digest));
  const versions = useApps().data?.filter((one) => one.name === app.data?.name && one.digest !== digest) ?? [];
  if (app.isPending || about.isPending) return <Waiting />;
  if (!app.data || !about.data)
    return (
      <Stack>
        <Heading title="App" />
        <Failure error={app.error ?? about.error} />
        <Empty title="There is no such package" command="septum app list">
          It may have been removed.
        </Empty>
      </Stack>
    );
  const by = signers(app.data.signatures);
  const masked = about.data.masked ?? [];
  return (
    <>
      <Heading
        title={`${app.data.name} ${app.data.version}`}
        below={
          <Group gap="md" style={{ rowGap: 0 }} component="span" display="inline-flex">
            <Digest digest={digest} />
            <span>
              {bytes(app.data.blob.size_bytes)}, pushed <When unix={app.data.pushed_at} />
            </span>
          </Group>
        }
      >
        <Button variant="default" component="a" href={`/api/v1/apps/${encodeURIComponent(digest)}/file`} download>
          Download
        </Button>
        {can("run.submit") && (
          <Button component={Link} to={`/runs/new?app=${encodeURIComponent(digest)}`}>
            New run
          </Button>
        )}
      </Heading>
      <Stack gap="lg">
        <Alert variant="light" color={by.length ? "teal" : "gray"} title={by.length ? `Signed by ${by.join(", ")}` : "Not signed"}>
          {by.length
            ? "As the file beside it says; each silo verifies the signatures against the keys that its steward trusts."
            : "Silos can approve it by its digest alone, unless their policy asks for a signature: septum app sign."}
        </Alert>
        <Part title="What may leave a silo">
          <Group gap="xs">
            {[...new Set([...about.data.leaves, ...masked])].map((one) => (
              <Badge key={one} variant="default" tt="none" fw={500} size="lg">
                {one}
                {masked.includes(one) && " · masked sums alone"}
              </Badge>
            ))}
          </Group>
        </Part>
        <Part title="What can be set">
          <Rows head={["Name", "Type", "Default", "Range", "What it is"]} wide={[3, 4]}>
            {Object.entries(about.data.hyper.properties).map(([name, field]) => (
              <Table.Tr key={name}>
                <Table.Td>
                  <span className="mono">{name}</span>
                  <Text size="xs" c="dimmed" hiddenFrom="sm">
                    {field.description}
                  </Text>
                </Table.Td>
                <Table.Td>{field.type}</Table.Td>
                <Table.Td className="mono">{String(field.default ?? "–")}</Table.Td>
                <Table.Td visibleFrom="sm">{field.enum ? field.enum.join(", ") : field.minimum !== undefined || field.maximum !== undefined ? `${field.minimum ?? ""} to ${field.maximum ?? ""}` : "any"}</Table.Td>
                <Table.Td visibleFrom="sm">{field.description}</Table.Td>
              </Table.Tr>
            ))}
          </Rows>
          <Presets app={app.data} about={about.data} />
        </Part>
        <Part title="What it reads">
          <Rows head={["Column", "Role", "Type", "Range or codes", "Unit"]} wide={[1, 2, 4]}>
            {Object.entries(about.data.columns).map(([name, column]) => (
              <Table.Tr key={name}>
                <Table.Td className="mono">{name}</Table.Td>
                <Table.Td visibleFrom="sm">{column.role}</Table.Td>
                <Table.Td visibleFrom="sm">{column.type}</Table.Td>
                <Table.Td>
                  {Object.keys(column.codes).length
                    ? Object.entries(column.codes).map(([code, meaning]) => (meaning ? `${code} ${meaning}` : code)).join(", ")
                    : column.min !== null || column.max !== null
                      ? `${column.min ?? ""} to ${column.max ?? ""}`
                      : "any"}
                  {column.unit && (
                    <Text span size="sm" hiddenFrom="sm">
                      {" "}
                      {column.unit}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td visibleFrom="sm">{column.unit || "–"}</Table.Td>
              </Table.Tr>
            ))}
          </Rows>
        </Part>
        {versions.length > 0 && (
          <Part title="Other versions">
            <Group gap="xs">
              {versions.map((one) => (
                <Button key={one.digest} size="compact-sm" variant="default" component={Link} to={`/apps/${one.digest}`}>
                  {one.version}
                </Button>
              ))}
            </Group>
          </Part>
        )}
        <Part title="In a silo">
          <Text size="sm" mb="xs">
            Its steward fetches it, reads every line of it, and says yes or no:
          </Text>
          <Command>{`septum silo app fetch ${app.data.name} --dir ./septum\nseptum silo app review ${app.data.name} --dir ./septum | less`}</Command>
        </Part>
      </Stack>
    </>
  );
}

function Rows({ head, wide, children }: { head: string[]; wide: number[]; children: ReactNode }) {
  return (
    <Table.ScrollContainer minWidth={300}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            {head.map((name, index) => (
              <Table.Th key={name} visibleFrom={wide.includes(index) ? "sm" : undefined}>
                {name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
