/** How does each silo of a run stand? What its last report said, from the journal. */
import type { Entry } from "../api/journal";

export type SiloCourse = { reports: number; round: number; workS: number; at: number };

/** By silo: how many training reports came, the newest one's round, how long its work took, and when it came. */
export function courses(entries: readonly Entry[]): Map<string, SiloCourse> {
  const found = new Map<string, SiloCourse>();
  for (const { fact, at } of entries) {
    if (fact.kind !== "silo_reported" || fact.stage !== "train") continue;
    const before = found.get(fact.silo);
    const workS = Object.values(fact.durations_s ?? {}).reduce((sum, one) => sum + one, 0);
    found.set(fact.silo, { reports: (before?.reports ?? 0) + 1, round: fact.round, workS, at });
  }
  return found;
}

/** When each round was opened, newest attempt last: Unix seconds by round. */
export function openings(entries: readonly Entry[]): Map<number, number> {
  const found = new Map<number, number>();
  for (const { fact, at } of entries) if (fact.kind === "stage_opened" && fact.stage === "train") found.set(fact.round, at);
  return found;
}

/** How long the rounds to come will take, seconds, by the mean of the last ten; undefined before two rounds. */
export function remaining(entries: readonly Entry[], finished: number, rounds: number): number | undefined {
  const opened = [...openings(entries).values()].slice(-11);
  const first = opened[0];
  const last = opened.at(-1);
  if (first === undefined || last === undefined || opened.length < 3) return undefined;
  return ((last - first) / (opened.length - 1)) * Math.max(0, rounds - finished);
}
