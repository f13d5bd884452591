/** What waits for whoever looks? Versions to approve, runs that failed or are held, silos that are away or nearly spent. */
import { Anchor, Button, Stack, Text, Title } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "react-router";
import { api, type Schemas, told } from "../api/client";
import { useRuns, useSilos } from "../api/queries";
import { useVersions } from "../api/registered";
import { useSession } from "../api/session";
import { When } from "../components/Bits";
import { approvals, away, failed, failures, held, low, lowOnce, yesterday } from "../lib/waiting";

const FEW = 8;
const FRESH_MS = 30_000;
const BACK = 200; // entries of the feed

const useFeed = (kind: Schemas["Kind"], enabled: boolean) =>
  useQuery({
    queryKey: ["activity", kind, BACK],
    queryFn: () => told(api.GET("/api/v1/activity", { params: { query: { kind: [kind], limit: BACK } } })),
    refetchInterval: FRESH_MS,
    enabled,
  }).data?.items ?? [];

export function Waits() {
  const { who, can } = useSession();
  const [all, setAll] = useState(false);
  const versions = useVersions("", can("model.approve"), ["candidate"]).data ?? [];
  const stuck = useRuns({ status: ["queued", "paused"] }, 50).data?.items ?? [];
  const ended = useFeed("run.ended", can("run.read"));
  const when = useMemo(() => failures(ended, yesterday()), [ended]);
  const gone = useRuns({ status: ["failed"] }, 50).data?.items ?? [];
  const silos = useSilos(can("silo.read")).data ?? [];
  const warned = lowOnce(useFeed("silo.budget_low", can("silo.read")));
  const details = useQueries({
    queries: warned.map((name) => ({
      queryKey: ["silo", name],
      queryFn: () => told(api.GET("/api/v1/silos/{name}", { params: { path: { name } } })),
      refetchInterval: FRESH_MS,
      retry: false,
    })),
  }).flatMap((one) => (one.data ? [one.data] : []));
  const items = [...(who && can("model.approve") ? approvals(versions, who) : []), ...failed(gone, when), ...held(stuck), ...low(details), ...away(silos)];
  if (!items.length) return null;
  return (
    <section aria-label="What waits for you">
      <Title order={2} size="h4" mb="sm">
        What waits for you
      </Title>
      <Stack gap={6} component="ul" m={0} pl={0} style={{ listStyle: "none" }}>
        {items.slice(0, all ? undefined : FEW).map((item) => (
          <Text size="sm" component="li" key={item.key} className="wrap-anywhere">
            <Anchor component={Link} to={item.to} underline="always">
              {item.name}
            </Anchor>{" "}
            {item.text}
            {item.at !== undefined && " "}
            {item.at !== undefined && <When unix={item.at} relative />}
            {item.why && `: ${item.why}`}
          </Text>
        ))}
      </Stack>
      {items.length > FEW && !all && (
        <Button size="compact-sm" variant="subtle" mt={4} onClick={() => setAll(true)}>
          {items.length - FEW} more
        </Button>
      )}
    </section>
  );
}
