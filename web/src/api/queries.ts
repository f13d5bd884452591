/** Which questions do the pages ask, and how fresh are the answers? One hook for each noun. */
import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, type Schemas, told } from "./client";
import { usePace } from "./feed";

export type Run = Schemas["RunView"];
export type Plan = Schemas["Plan"];
export type Status = Schemas["RunStatus"];
export type Model = Schemas["ModelView"];
export type SiloModel = Schemas["SiloModelView"];
export type Silo = Schemas["SiloView"];
export type App = Schemas["AppView"];
export type Project = Schemas["ProjectView"];
export type Group = Schemas["GroupView"];
export type Person = Schemas["PersonView"];

export const PAGE = 25;

/** Everything in a list, page by page. */
export async function everything<T>(page: (after: string) => Promise<{ items: T[]; next?: string | null }>): Promise<T[]> {
  const found: T[] = [];
  let after = "";
  do {
    const { items, next } = await page(after);
    found.push(...items);
    after = next ?? "";
  } while (after);
  return found;
}

const MOST = 1000; // of a page
export type RunsWanted = { after: string; project: string; app: string; status: Status[]; q: string; asks: boolean };

/** Nothing of such a run is to come, unless somebody resumes it. */
export const ENDED: readonly Status[] = ["finished", "stopped", "failed"];

/** One page of runs, and whether there is another. Of rounds the feed tells nothing: runs at work are asked for often. */
export function useRuns(wanted: Partial<RunsWanted>, limit = PAGE) {
  const { after = "", project = "", app = "", status = [], q = "", asks = false } = wanted;
  const pace = usePace();
  return useQuery({
    queryKey: ["runs", after, project, app, status, q, asks, limit],
    queryFn: () => told(api.GET("/api/v1/runs", { params: { query: { limit, after, project, app, status, q, asks } } })),
    refetchInterval: ({ state }) => pace(state.data?.items.some((run) => !ENDED.includes(run.status))),
    placeholderData: (old) => old,
  });
}

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: () => told(api.GET("/api/v1/runs/{run_id}", { params: { path: { run_id: id } } })),
  });

export const planQuery = (id: string) =>
  queryOptions({
    queryKey: ["plan", id],
    queryFn: () => told(api.GET("/api/v1/runs/{run_id}/plan", { params: { path: { run_id: id } } })),
    staleTime: Infinity,
  });

export function useModels(run: string) {
  return useQuery({
    queryKey: ["models", run],
    queryFn: () => everything((after) => told(api.GET("/api/v1/models", { params: { query: { run, after, limit: MOST } } }))),
  });
}

/** The silos' own models of a round that is finished. */
export function useSiloModels(run: string, round: number) {
  return useQuery({
    queryKey: ["silo-models", run, round],
    queryFn: () => everything((after) => told(api.GET("/api/v1/runs/{run_id}/silo-models", { params: { path: { run_id: run }, query: { round, after, limit: MOST } } }))),
    enabled: round > 0,
  });
}

export function useSilos(enabled = true) {
  const pace = usePace(10_000);
  return useQuery({
    queryKey: ["silos"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/silos", { params: { query: { after, limit: MOST } } }))),
    refetchInterval: pace(),
    enabled,
  });
}

/** What the coordinator says of itself; its labels change with a restart alone. */
export function useHealth() {
  return useQuery({ queryKey: ["health"], queryFn: () => told(api.GET("/api/v1/health")), staleTime: 60_000 });
}

export function useApps(enabled = true) {
  const pace = usePace(30_000);
  return useQuery({
    queryKey: ["apps"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/apps", { params: { query: { after, limit: MOST } } }))),
    refetchInterval: pace(),
    enabled,
  });
}

export function useProjects(enabled = true) {
  const pace = usePace(30_000);
  return useQuery({
    queryKey: ["projects"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/projects", { params: { query: { after, limit: MOST } } }))),
    refetchInterval: pace(),
    enabled,
  });
}

export function useGroups(enabled = true) {
  const pace = usePace(30_000);
  return useQuery({
    queryKey: ["groups"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/groups", { params: { query: { after, limit: MOST } } }))),
    refetchInterval: pace(),
    enabled,
  });
}

export function useOrganisations(enabled = true) {
  const pace = usePace(30_000);
  return useQuery({
    queryKey: ["organisations"],
    queryFn: () => everything((after) => told(api.GET("/api/v1/organisations", { params: { query: { after, limit: MOST } } }))),
    refetchInterval: pace(),
    enabled,
  });
}

/** A hyper-parameter, as an app's JSON Schema has it. */
export type Hyper = {
  type: "integer" | "number" | "boolean" | "string";
  default?: string | number | boolean;
  minimum?: number;
  maximum?: number;
  enum?: (string | number)[];
  description?: string;
};
export type Column = {
  role: string;
  type: string;
  unit: string;
  min: number | null;
  max: number | null;
  codes: Record<string, string>;
  about: string;
};
export type Description = {
  name: string;
  version: string;
  hyper: { properties: Record<string, Hyper> };
  columns: Record<string, Column>;
  leaves: string[];
  masked?: string[];
  private?: string[];
  presets: Record<string, Record<string, string | number | boolean>>;
  wheels: unknown[];
  preinstalled: string[];
};

export const descriptionQuery = (digest: string) =>
  queryOptions({
    queryKey: ["description", digest],
    queryFn: async () => {
      const asked = api.GET("/api/v1/apps/{digest}/description", { params: { path: { digest } } });
      return (await told(asked)) as unknown as Description;
    },
    staleTime: Infinity,
    enabled: digest !== "",
  });
