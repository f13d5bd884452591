/** What does one silo say of itself? Its machine, its labels, the datasets that its steward offers. */
import { Alert, Anchor, Badge, Button, Group, Modal, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { api, told } from "../api/client";
import { usePace } from "../api/feed";
import { useSession } from "../api/session";
import { Command, Empty, Fact, Failure, Heading, SiloStatus, Waiting, When } from "../components/Bits";

export function SiloPage() {
  const { name = "" } = useParams();
  const { can } = useSession();
  const queries = useQueryClient();
  const pace = usePace(10_000);
  const [open, { open: ask, close }] = useDisclosure();
  const params = { path: { name } };
  const found = useQuery({
    queryKey: ["silo", name],
    queryFn: () => told(api.GET("/api/v1/silos/{name}", { params })),
    refetchInterval: pace(),
  });
  const revoke = useMutation({
    mutationFn: () => told(api.DELETE("/api/v1/silos/{name}", { params })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["silo", name] });
      void queries.invalidateQueries({ queryKey: ["silos"] });
      close();
    },
  });
  if (found.isPending) return <Waiting />;
  if (!found.data)
    return (
      <>
        <Heading title={name} />
        <Failure error={found.error} retry={() => void found.refetch()} />
      </>
    );
  const { silo, description, standing } = found.data;
  return (
    <>
      <Heading title={silo.name} shown={<SiloStatus status={silo.status} />} below={<>organisation {silo.organisation ?? "default"} · seen <When unix={silo.seen_at} relative /> · <Anchor component={Link} underline="always" to={`/activity?silo=${silo.name}`}>what has happened</Anchor></>}>
        {can("silo.revoke") && silo.status !== "revoked" && (
          <Button color="red" variant="light" onClick={ask}>
            Revoke
          </Button>
        )}
      </Heading>
      <Stack>
        {standing.paused && (
          <Alert color="yellow" variant="light" title="Its steward has paused it">
            {standing.reason || "No reason was given."} It takes no new runs.
          </Alert>
        )}
        {!description && (
          <Empty title="It has said nothing of itself yet" command={`septum silo show ${silo.name}`}>
            {silo.status === "invited" ? "It was invited, and has not enrolled." : "Its agent tells what it is once it has started."}
          </Empty>
        )}
        {description && (
          <>
            <Paper withBorder p="md">
              <Title order={2} size="h5" mb="sm">
                As it says of itself
              </Title>
              <SimpleGrid cols={{ base: 2, sm: 3, md: 4 }} component="dl" m={0}>
                <Fact name="septum">{description.septum}</Fact>
                <Fact name="Python">{description.python}</Fact>
                <Fact name="System">{description.system}</Fact>
                <Fact name="Cores">{description.cores}</Fact>
                <Fact name="Memory">{description.memory_mb ? `${(description.memory_mb / 1000).toFixed(1)} GB` : "not told"}</Fact>
                <Fact name="GPUs">{description.gpus?.join(", ") || "none"}</Fact>
                <Fact name="The key's fingerprint">
                  <span className="mono">{silo.fingerprint || "none yet"}</span>
                </Fact>
                <Fact name="Enrolled">
                  <When unix={silo.enrolled_at} />
                </Fact>
                <Fact name="Said">
                  <When unix={found.data.described_at} relative />
                </Fact>
              </SimpleGrid>
              {Object.keys(description.labels ?? {}).length > 0 && (
                <Group gap="xs" mt="md">
                  {Object.entries(description.labels ?? {}).map(([label, value]) => (
                    <Badge key={label} variant="default" tt="none">
                      {label}={value}
                    </Badge>
                  ))}
                </Group>
              )}
            </Paper>
            <Title order={2} size="h4">
              Datasets that it offers
            </Title>
            {!description.datasets?.length && (
              <Empty title="None" command="septum silo data list --dir ./septum">
                A steward offers a dataset with offer = true in silo.toml. Runs can ask for others, too, if the steward agrees.
              </Empty>
            )}
            {description.datasets?.map((dataset) => (
              <Paper withBorder p="md" key={dataset.name}>
                <Group justify="space-between" mb="xs">
                  <Text fw={600}>{dataset.name}</Text>
                  {dataset.rows && <Text size="sm" c="dimmed">{dataset.rows} rows</Text>}
                </Group>
                <Text size="sm" c="dimmed" className="wrap-anywhere">
                  {dataset.columns?.length ? `Columns: ${dataset.columns.join(", ")}` : "Its columns are not told."}
                </Text>
              </Paper>
            ))}
          </>
        )}
      </Stack>
      <Modal opened={open} onClose={close} title={`Revoke ${silo.name}?`}>
        <Stack>
          <Text size="sm">Its key is refused from then on, and its open requests end. To come back it needs a new invitation.</Text>
          <Command>{`septum silo revoke ${silo.name}`}</Command>
          <Failure error={revoke.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Keep it
            </Button>
            <Button color="red" onClick={() => revoke.mutate()} loading={revoke.isPending}>
              Revoke it
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
