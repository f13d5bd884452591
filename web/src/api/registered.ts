/** Which models have a name, and which silos use them? Versions and deployments, and what may be done to them. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, type Schemas, told } from "./client";
import { everything } from "./queries";

export type Version = Schemas["ModelVersionView"];
export type Stage = Schemas["ModelStage"];
export type Deployment = Schemas["DeploymentView"];

const FRESH_MS = 30_000; // versions change by what people do
const SAID_MS = 10_000; // deployments also by what silos say
const MOST = 1000; // of a page

/** The versions of a name, or of all, by name and number; those that have come so far, if stages are named. */
export function useVersions(name = "", enabled = true, stage: Stage[] = []) {
  return useQuery({
    queryKey: ["versions", name, stage],
    queryFn: () => everything((after) => told(api.GET("/api/v1/models/versions", { params: { query: { name, stage, after, limit: MOST } } }))),
    refetchInterval: FRESH_MS,
    enabled,
  });
}

/** The deployments of a name, the newest first. */
export function useDeployments(name: string) {
  return useQuery({
    queryKey: ["deployments", name],
    queryFn: () => everything((after) => told(api.GET("/api/v1/deployments", { params: { query: { name, after, limit: MOST } } }))),
    refetchInterval: SAID_MS,
  });
}

/** Ask for a change; then versions and deployments are asked for anew. */
export function useChange<T, R>(change: (wanted: T) => Promise<R>, done: (answer: R) => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: (answer: R) => {
      void queries.invalidateQueries({ queryKey: ["versions"] });
      void queries.invalidateQueries({ queryKey: ["deployments"] });
      done(answer);
    },
  });
}
