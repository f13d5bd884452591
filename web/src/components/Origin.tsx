/** Where does a model come from? Its run, its app, whose updates made it, how it does, what is promised. */
import { Anchor, Badge, SimpleGrid } from "@mantine/core";
import { Link } from "react-router";
import type { Schemas } from "../api/client";
import type { Stage } from "../api/registered";
import { useSession } from "../api/session";
import { bytes, figure } from "../lib/format";
import { promises } from "../lib/registered";
import { Digest, Fact } from "./Bits";

const COLOURS: Record<Stage, string> = { candidate: "indigo", approved: "blue", deployed: "teal", retired: "gray" };

export function StageBadge({ stage }: { stage: Stage }) {
  return (
    <Badge color={COLOURS[stage]} variant="light" tt="none">
      {stage}
    </Badge>
  );
}

type Props = {
  run: string;
  round: number;
  plan: Schemas["Plan"];
  digest: string;
  size: number;
  metrics: Schemas["Metrics"] | null;
  reported?: readonly string[];
  datasets?: Readonly<Record<string, string>>;
};

export function Origin({ run, round, plan, digest, size, metrics, reported, datasets }: Props) {
  const { can } = useSession();
  const missing = reported ? plan.silos.filter((silo) => !reported.includes(silo)) : [];
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm" component="dl" m={0}>
      <Fact name="Run">
        <Anchor component={Link} to={`/runs/${run}`} underline="always">
          {plan.name}
        </Anchor>
        , after round {round} of {plan.rounds}
      </Fact>
      <Fact name="App">
        {can("app.read") ? (
          <Anchor component={Link} to={`/apps/${encodeURIComponent(plan.app.digest)}`}>
            {plan.app.name} {plan.app.version}
          </Anchor>
        ) : (
          `${plan.app.name} ${plan.app.version}`
        )}
      </Fact>
      <Fact name={reported ? "Silos whose reports made it" : "Silos that were asked"}>
        {(reported ?? plan.silos).join(", ") || "none"}
        {missing.length > 0 && `; without ${missing.join(", ")}`}
      </Fact>
      {datasets && (
        <Fact name="Its data, by each silo's own key">
          {plan.silos.map((silo) => (
            <div key={silo}>
              {silo} {datasets[silo] ? <Digest digest={datasets[silo]} /> : "not said"}
            </div>
          ))}
        </Fact>
      )}
      <Fact name="Privacy">{promises(plan)}</Fact>
      <Fact name="On the test rows of all silos">
        {metrics
          ? `ROC-AUC ${figure(metrics.roc_auc, 4)}, accuracy ${figure(metrics.accuracy, 4)}, log loss ${figure(metrics.log_loss, 4)}, ${metrics.rows} rows`
          : "not measured"}
      </Fact>
      <Fact name="Strategy and seed">
        {plan.strategy?.name ?? "fedavg"}, {plan.seed ?? 0}
      </Fact>
      <Fact name="Digest">
        <Digest digest={digest} /> {bytes(size)}
      </Fact>
      <Fact name="Hyper-parameters">
        <span className="mono">
          {Object.entries(plan.hyper)
            .map(([name, value]) => `${name}=${String(value)}`)
            .join(" ") || "none"}
        </span>
      </Fact>
    </SimpleGrid>
  );
}

/** Where a model of a run is downloaded. */
export const fileOf = (digest: string, run: string): string => `/api/v1/models/${encodeURIComponent(digest)}?run=${encodeURIComponent(run)}`;
