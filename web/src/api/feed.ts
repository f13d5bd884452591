/** Which lists have changed? One stream of the federation's feed for the whole page says so, in place of asking often. */
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { api, type Schemas, told } from "./client";
import { Follower, type Mode, type Source } from "./follow";
import { useSeen } from "./seen";

export type Happened = Schemas["FeedEntry"];
export type Change = Schemas["Change"];

const REFRESH_MS = 300; // in which changes are gathered
const OFTEN_MS = 5_000;
const SELDOM_MS = 60_000; // what the feed does not tell, such as when a silo was last heard of

/** The feed from now on. Where its stream fails there is no list to ask for: each list is asked for by itself then. */
export const FEED: Source<Happened> = { path: "/api/v1/events", page: () => Promise.resolve([]), ends: () => false };

const LISTS: Record<string, readonly string[]> = {
  run: ["runs", "run"],
  model: ["models", "versions", "deployments"],
  silo: ["silos", "silo"],
  app: ["apps", "app"],
  group: ["groups"],
  project: ["projects"],
  person: ["people", "session"], // the session: what one may do oneself
  organisation: ["organisations"],
  token: ["tokens"],
};
const LISTED = new Set(["activity", ...Object.values(LISTS).flat()]);

/** The first words of the keys of what is to be asked for again after this change. */
export function touched(change: Change): readonly string[] {
  return ["activity", ...(LISTS[change.kind.split(".")[0] ?? ""] ?? [])];
}

class Live {
  private up = false;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly get = (): boolean => this.up;

  set(up: boolean): void {
    if (this.up === up) return;
    this.up = up;
    for (const listener of this.listeners) listener();
  }
}

const live = new Live();

/** Whether the feed tells what changes, as it does. */
export function useLive(): boolean {
  return useSyncExternalStore(live.subscribe, live.get);
}

/** How often to ask for what the feed tells of, in ms. `moving`: it also changes in ways that the feed does not tell. */
export function usePace(often = OFTEN_MS): (moving?: boolean) => number {
  const told = useLive();
  return (moving = false) => (told && !moving ? SELDOM_MS : often);
}

/** Follow the feed until `stop`, and have asked for again what it names. */
export function refreshing(queries: QueryClient, stop: AbortSignal): Follower<Happened> {
  const names = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let since = 0; // since when the feed has been listened to; what was asked for before may have changed unheard
  const refresh = (): void => {
    timer = undefined;
    const [changed, before] = [new Set(names), since];
    names.clear();
    since = 0;
    void queries.invalidateQueries({
      predicate: ({ queryKey, state }) =>
        changed.has(String(queryKey[0])) || (LISTED.has(String(queryKey[0])) && state.dataUpdatedAt < before),
    });
  };
  stop.addEventListener("abort", () => {
    clearTimeout(timer);
    live.set(false);
  });
  return new Follower(
    FEED,
    null,
    (fresh, mode: Mode) => {
      if (mode === "live" && !live.get()) since = Date.now();
      live.set(mode === "live");
      for (const one of fresh) for (const name of touched(one.change)) names.add(name);
      if ((names.size || since) && timer === undefined) timer = setTimeout(refresh, REFRESH_MS);
    },
    stop,
  );
}

/** Listen to the feed while `wanted`. Once in a page: in what stands around all of them. */
export function useFeed(wanted: boolean): void {
  const queries = useQueryClient();
  const seen = useSeen();
  useEffect(() => {
    if (!wanted || !seen) return;
    const stop = new AbortController();
    void refreshing(queries, stop.signal).follow();
    return () => stop.abort();
  }, [wanted, seen, queries]);
}

export type ActivityWanted = { after: string; project: string; run: string; silo: string; kind: string[] };

/** One page of what has changed, the newest first. */
export const activity = (wanted: ActivityWanted, limit: number) =>
  told(api.GET("/api/v1/activity", { params: { query: { ...wanted, limit } } }));
