/** What happened in a run, live: its journal as it grows. */
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { advanced } from "../lib/standing";
import { api, type Schemas, told } from "./client";
import { Follower, type Mode, type Source } from "./follow";
import { ENDED, type Run } from "./queries";
import { useSeen } from "./seen";

export type Entry = Schemas["JournalView"];
export type Fact = Entry["fact"];
export type Journal = { entries: readonly Entry[]; mode: Mode };

const MOST = 1000; // of a page
const REFRESH_MS = 300;
const SILENCE_MS = 4_000; // who has reported in a round stands in the journal at its end alone: while it lasts, the run is asked
const MOST_SILENCE_MS = 15_000;

/** A run's journal; its last entry says that the run has ended. */
export const journalOf = (run: string): Source<Entry> => ({
  path: `/api/v1/runs/${encodeURIComponent(run)}/events`,
  page: async (after, signal) => {
    const params = { path: { run_id: run }, query: { after: String(after ?? 0), limit: MOST } };
    return (await told(api.GET("/api/v1/runs/{run_id}/journal", { params, signal }))).items;
  },
  ends: (last) => last?.fact.kind === "run_ended",
});

/**
 * The journal of a run, whose standing is kept by what the journal tells, and asked for where that is too little.
 *
 * @param over whether the run has ended, as far as is known
 */
export function useJournal(run: string, over: boolean): Journal {
  const [journal, setJournal] = useState<Journal>({ entries: [], mode: "live" });
  const queries = useQueryClient();
  const held = useRef({ run: "", last: 0, ended: false }); // what is there stays while nobody sees the page
  const seen = useSeen();
  const [lives, setLives] = useState(0);
  useEffect(() => {
    if (over || !held.current.ended) return;
    held.current.ended = false; // somebody has resumed it
    setLives((count) => count + 1);
  }, [over]);
  useEffect(() => {
    if (held.current.run !== run) {
      held.current = { run, last: 0, ended: false };
      setJournal({ entries: [], mode: "live" });
    }
    if (!seen || held.current.ended) return;
    const stop = new AbortController();
    const keeping = kept(queries, run, stop.signal);
    const source = journalOf(run);
    const take = (fresh: readonly Entry[], mode: Mode): void => {
      held.current = { run, last: fresh.at(-1)?.seq ?? held.current.last, ended: mode === "ended" };
      setJournal((old) => ({ entries: fresh.length ? [...old.entries, ...fresh] : old.entries, mode }));
      keeping(fresh, held.current.ended);
    };
    const begin = async (): Promise<void> => {
      const first = held.current.last ? [] : await source.page(0, stop.signal).catch(() => []); // in one answer; what is wrong is found by following
      if (stop.signal.aborted) return;
      const whole = first.length < MOST && source.ends(first.at(-1) ?? null);
      if (first.length) take(first, whole ? "ended" : "live");
      if (!held.current.ended) await new Follower(source, held.current.last, take, stop.signal).follow();
    };
    void begin();
    return () => stop.abort();
  }, [run, seen, lives, queries]);
  return journal;
}

/** Keep how the run stands: by what is told, by asking soon where that is too little, and now and then in a long silence. */
function kept(queries: QueryClient, run: string, stop: AbortSignal): (fresh: readonly Entry[], ended: boolean) => void {
  let silence = SILENCE_MS;
  let over = false;
  let soon: ReturnType<typeof setTimeout> | undefined;
  let later: ReturnType<typeof setTimeout> | undefined;
  const standing = (): Run | undefined => queries.getQueryData<Run>(["run", run]);
  const ask = (): void => void queries.invalidateQueries({ queryKey: ["run", run] });
  const wait = (): void => {
    clearTimeout(later);
    later = setTimeout(() => {
      ask();
      silence = Math.min(silence * 1.5, MOST_SILENCE_MS);
      wait();
    }, silence);
  };
  stop.addEventListener("abort", () => {
    clearTimeout(soon);
    clearTimeout(later);
  });
  wait();
  return (fresh, ended) => {
    if (fresh.length) silence = SILENCE_MS;
    over = ended;
    if (over) clearTimeout(later);
    else if (fresh.length) wait();
    const known = standing();
    const now = known && advanced(known, fresh.map((entry) => entry.fact));
    if (now) queries.setQueryData(["run", run], now);
    else if (fresh.length)
      soon ??= setTimeout(() => {
        soon = undefined;
        if (!over || !ENDED.includes(standing()?.status ?? "training")) ask();
      }, REFRESH_MS);
    if (fresh.some(({ fact }) => fact.kind === "model_made" || fact.kind === "model_measured")) void queries.invalidateQueries({ queryKey: ["models", run] });
  };
}
