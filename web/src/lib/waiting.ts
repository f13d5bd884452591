/** What waits for somebody in a federation? In the order in which one would want to know of it. */
import type { Schemas } from "../api/client";
import type { Run, Silo } from "../api/queries";
import type { Version } from "../api/registered";
import { type Approver, waitsFor } from "./registered";

type Entry = Schemas["FeedEntry"];
export type Item = { key: string; to: string; name: string; text: string; at?: number; why?: string };

/** The beginning of yesterday, Unix seconds, in the viewer's time zone. */
export function yesterday(now = new Date()): number {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1).getTime() / 1000;
}

/** When each run failed, of those that did since a moment; a run that failed twice by the later one. */
export function failures(feed: readonly Entry[], since: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const { at, change } of feed)
    if (change.kind === "run.ended" && change.outcome === "failed" && change.run && at >= since) found.set(change.run, Math.max(at, found.get(change.run) ?? 0));
  return found;
}

/** The silos that once said that a budget is nearly spent; whether it still is, each has to be asked. */
export const lowOnce = (feed: readonly Entry[]): string[] => [...new Set(feed.flatMap(({ change }) => (change.kind === "silo.budget_low" && change.silo ? [change.silo] : [])))].sort();

/** Versions that somebody may approve. */
export const approvals = (versions: readonly Version[], me: Approver): Item[] =>
  versions
    .filter((view) => waitsFor(view, me))
    .map(({ version }) => ({
      key: `version ${version.name} ${version.version}`,
      to: `/models/${version.name}/${version.version}`,
      name: `${version.name} ${version.version}`,
      text: `waits for your approval: ${version.registered.by} registered it`,
      at: version.registered.at,
    }));

/** Runs that failed, with why. */
export const failed = (runs: readonly Run[], when: ReadonlyMap<string, number>): Item[] =>
  runs
    .filter((run) => run.status === "failed" && when.has(run.id))
    .map((run) => ({ key: `failed ${run.id}`, to: `/runs/${run.id}`, name: run.name, text: "failed", at: when.get(run.id), why: run.reason }));

/** Runs that go on by themselves or not at all: paused ones, and those in the queue with what they wait for. */
export const held = (runs: readonly Run[]): Item[] =>
  runs.flatMap((run) => {
    const one = { key: `held ${run.id}`, to: `/runs/${run.id}`, name: run.name };
    if (run.status === "paused") return [{ ...one, text: "is paused", why: run.reason }];
    if (run.status === "queued") return [{ ...one, text: `waits in the queue${run.position ? `, as number ${run.position}` : ""}`, why: run.reason }];
    return [];
  });

/** Silos that are away or have not come yet. */
export const away = (silos: readonly Silo[]): Item[] =>
  silos.flatMap((silo) => {
    const one = { key: `silo ${silo.name}`, to: `/silos/${silo.name}`, name: silo.name };
    if (silo.status === "offline") return [{ ...one, text: "is offline, last seen", at: silo.seen_at }];
    if (silo.status === "invited") return [{ ...one, text: "was invited and has not enrolled yet" }];
    return [];
  });

/** Silos with datasets whose privacy budget is nearly spent. */
export const low = (silos: readonly Schemas["SiloDetail"][]): Item[] =>
  silos.flatMap(({ silo, standing }) =>
    standing.budget_low?.length && silo.status !== "revoked"
      ? [{ key: `budget ${silo.name}`, to: `/silos/${silo.name}`, name: silo.name, text: `has little privacy budget left for ${standing.budget_low.join(", ")}` }]
      : [],
  );
