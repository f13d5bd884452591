/** How does a run's model get a name? By a form that says what will be kept, and that somebody else has to approve it. */
import { Autocomplete, Button, Group, Select, Stack, Text } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { api, type Schemas, told } from "../api/client";
import type { Model, Run } from "../api/queries";
import { useChange, useVersions } from "../api/registered";
import { useSession } from "../api/session";
import { NAME, NAME_RULE } from "../lib/format";
import { best, METRICS, type MetricName } from "../lib/metrics";
import { Failure } from "./Bits";

type Which = MetricName | `${number}`;

/** What the API is asked for: a round's model, or the best by a metric. */
export const wantedOf = (name: string, which: Which): Schemas["NewVersion"] =>
  which in METRICS ? { name, round: null, best: which as MetricName } : { name, round: Number(which), best: null };

/** The command that does the same. */
export const commandOf = (run: string, name: string, which: Which): string =>
  `septum model register ${run} --name ${name || "NAME"} ${which in METRICS ? `--best ${which}` : `--round ${which}`}`;

type Props = { run: Run; models: readonly Model[]; round: number | null; metric: MetricName; close: () => void };

/** `round` null: the best by `metric`. */
export function Register({ run, models, round, metric, close }: Props) {
  const navigate = useNavigate();
  const { who } = useSession();
  const versions = useVersions();
  const [name, setName] = useState("");
  const [which, setWhich] = useState<Which>(round === null ? metric : `${round}`);
  const register = useChange(
    () => told(api.POST("/api/v1/models/versions", { params: { query: { run: run.id } }, body: wantedOf(name, which) })),
    (view) => {
      close();
      void navigate(`/models/${view.version.name}/${view.version.version}`);
    },
  );
  const fits = NAME.test(name);
  const names = [...new Set(versions.data?.map((one) => one.version.name))];
  const bests = (Object.keys(METRICS) as MetricName[]).flatMap((one) => {
    const found = best(models, one);
    return found ? [{ value: one, label: `the best by ${METRICS[one].title}: round ${found.round}` }] : [];
  });
  return (
    <form
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        register.mutate(undefined);
      }}
    >
      <Stack>
        <Autocomplete label="Name" description="A new one, or one that has versions" placeholder="heart" data={names} value={name} onChange={setName} error={name && !fits ? NAME_RULE : undefined} data-autofocus required withAsterisk={false} />
        <Select
          label="Model"
          data={[...bests, ...models.map((one) => ({ value: String(one.round), label: `of round ${one.round}` }))]}
          value={which}
          onChange={(value) => value && setWhich(value as Which)}
          searchable
          allowDeselect={false}
          limit={60}
        />
        <Text size="sm">
          It becomes a candidate under this name{names.includes(name) && `, the next version of ${name}`}. Run, plan, silos, metrics and digest are written down
          and never change. No silo gets it: {who?.approve_own ? "it has to be approved first" : "somebody else has to approve it first"}.
        </Text>
        <Failure error={register.error} />
        <Text size="sm" c="dimmed">
          At a shell: <span className="mono wrap-anywhere">{commandOf(run.id, name, which)}</span>
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={register.isPending} disabled={!fits}>
            Register
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
