/** What happened in a run, live: its journal as it grows. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { api, type Schemas, told } from "./client";
import { Follower, type Mode, type Source } from "./follow";

export type Entry = Schemas["JournalView"];
export type Fact = Entry["fact"];
export type Journal = { entries: readonly Entry[]; mode: Mode };

const MOST = 1000; // of a page
const REFRESH_MS = 300;

/** A run's journal; its last entry says that the run has ended. */
export const journalOf = (run: string): Source<Entry> => ({
  path: `/api/v1/runs/${encodeURIComponent(run)}/events`,
  page: async (after, signal) => {
    const params = { path: { run_id: run }, query: { after: String(after ?? 0), limit: MOST } };
    return (await told(api.GET("/api/v1/runs/{run_id}/journal", { params, signal }))).items;
  },
  ends: (last) => last?.fact.kind === "run_ended",
});

/** The journal of a run; the run itself is asked for again when something happened. */
export function useJournal(run: string): Journal {
  const [journal, setJournal] = useState<Journal>({ entries: [], mode: "live" });
  const queries = useQueryClient();
  const refresh = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    setJournal({ entries: [], mode: "live" });
    const follower = new Follower(
      journalOf(run),
      0,
      (fresh, mode) => {
        setJournal((old) => ({ entries: fresh.length ? [...old.entries, ...fresh] : old.entries, mode }));
        if (fresh.length && refresh.current === undefined)
          refresh.current = setTimeout(() => {
            refresh.current = undefined;
            void queries.invalidateQueries({ queryKey: ["run", run] });
            void queries.invalidateQueries({ queryKey: ["models", run] });
          }, REFRESH_MS);
      },
      stop.signal,
    );
    void follower.follow();
    return () => {
      stop.abort();
      clearTimeout(refresh.current);
      refresh.current = undefined;
    };
  }, [run, queries]);
  return journal;
}
