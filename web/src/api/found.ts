/** What has a name like this? Each list is narrowed by the coordinator, and its first few are shown. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { Goal, Kind, Sought } from "../lib/goals";
import { api, told } from "./client";
import { type Right, useSession } from "./session";

const FEW = 8; // of each kind
const MANY = 40; // of the one that was named

/** The first that fit, by kind; of runs also a way to all of them. */
export function useFound({ kind, text }: Sought): { goals: Goal[]; busy: boolean } {
  const { can } = useSession();
  const limit = kind ? MANY : FEW;
  const page = { q: text, limit };
  const asked = (one: Kind, right: Right) => ({
    queryKey: ["found", one, text, limit],
    enabled: can(right) && (!kind || kind === one),
    placeholderData: keepPreviousData,
  });
  const runs = useQuery({ ...asked("run", "run.read"), queryFn: () => told(api.GET("/api/v1/runs", { params: { query: page } })) });
  const silos = useQuery({ ...asked("silo", "silo.read"), queryFn: () => told(api.GET("/api/v1/silos", { params: { query: page } })) });
  const apps = useQuery({ ...asked("app", "app.read"), queryFn: () => told(api.GET("/api/v1/apps", { params: { query: page } })) });
  const models = useQuery({ ...asked("model", "model.read"), queryFn: () => told(api.GET("/api/v1/models/versions", { params: { query: page } })) });
  const of = <T>(one: Kind, found: { items: T[] } | undefined, goal: (item: T) => Omit<Goal, "kind">): Goal[] =>
    kind && kind !== one ? [] : (found?.items ?? []).map((item) => ({ ...goal(item), kind: one }));
  const names = new Set(models.data?.items.map(({ version }) => version.name)); // each has versions
  return {
    goals: [
      ...of("run", runs.data, (run) => ({ to: run.asks ? `/statistics/${run.id}` : `/runs/${run.id}`, label: run.name, more: run.id })),
      ...(runs.data?.next && text && (!kind || kind === "run") ? [{ to: `/runs?q=${encodeURIComponent(text)}`, label: `All runs with “${text}”`, kind: "run" as const }] : []),
      ...of("silo", silos.data, (silo) => ({ to: `/silos/${silo.name}`, label: silo.name })),
      ...of("app", apps.data, (app) => ({ to: `/apps/${app.digest}`, label: `${app.name} ${app.version}` })),
      ...of("model", { items: [...names] }, (name) => ({ to: `/models?name=${name}`, label: name })),
    ],
    busy: [runs, silos, apps, models].some((one) => one.isFetching),
  };
}
