/** What do the silos say of a run? The newest lines, and then each as it comes. */
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { after, before, type Line, type Lines, type Wanted } from "../lib/lines";
import { ApiError, api, type Schemas, told } from "./client";
import { Follower, type Mode, type Source } from "./follow";
import { everything } from "./queries";
import { useSeen } from "./seen";

const PAGE = 500;
const POLLED = 1000;
const NEWEST = Number.MAX_SAFE_INTEGER;
const AGAIN_MS = 2_000;
const MOST = 2_000; // on the page while it is followed
const MOST_HELD = 20_000; // while somebody reads

const queryOf = ({ silo, level, round, text }: Wanted) => ({ silo, level, text, ...(round && { round: Number(round) }) });

function page(run: string, wanted: Wanted, earlierThan: number, signal?: AbortSignal): Promise<readonly Line[]> {
  const params = { path: { run_id: run }, query: { ...queryOf(wanted), before: earlierThan, limit: PAGE } };
  return told(api.GET("/api/v1/runs/{run_id}/logs", { params, signal: signal ?? null })).then((found) => found.items);
}

/** Every line of a run that is like this, also those that are not on the page. */
export const everyLine = (run: string, wanted: Wanted): Promise<Line[]> =>
  everything((after) => told(api.GET("/api/v1/runs/{run_id}/logs", { params: { path: { run_id: run }, query: { ...queryOf(wanted), after: after || "0", limit: POLLED } } })));

/** Lines of a run that are like this, as they come. Its stream ends with the run. */
export const linesOf = (run: string, wanted: Wanted, over: () => boolean): Source<Line> => ({
  path: `/api/v1/runs/${encodeURIComponent(run)}/logs/stream?${new URLSearchParams(Object.entries(queryOf(wanted)).map(([name, value]) => [name, String(value)]))}`,
  page: async (last, signal) => {
    const found: Line[] = [];
    let next: string | null = String(last ?? 0);
    while (next !== null) {
      const params = { path: { run_id: run }, query: { ...queryOf(wanted), after: next, limit: POLLED } };
      const part: Schemas["LogPage"] = await told(api.GET("/api/v1/runs/{run_id}/logs", { params, signal }));
      found.push(...part.items);
      next = part.next ?? null;
    }
    return found;
  },
  ends: over,
});

export type Log = {
  shown: Lines | null;
  mode: Mode;
  error: unknown;
  again: () => void;
  earlier: () => Promise<void>;
};

/** The log of a run. `ended`: whether the run has; `reading`: whether somebody does, so that no line may go. */
export function useLog(run: string, wanted: Wanted, ended: boolean, reading: RefObject<boolean>): Log {
  const [shown, setShown] = useState<Lines | null>(null);
  const [mode, setMode] = useState<Mode>("live");
  const [error, setError] = useState<unknown>(null);
  const [tries, setTries] = useState(0);
  const over = useRef(ended);
  useEffect(() => {
    over.current = ended;
  }, [ended]);
  const held = useRef({ key: "", last: 0 });
  const seen = useSeen();
  const { silo, level, round, text } = wanted;

  useEffect(() => {
    if (!seen) return;
    const stop = new AbortController();
    const asked: Wanted = { silo, level, round, text };
    const key = JSON.stringify([run, asked, tries]);
    const begin = async (): Promise<void> => {
      if (held.current.key !== key) {
        const newest = await page(run, asked, NEWEST, stop.signal);
        held.current = { key, last: newest.at(-1)?.seq ?? 0 };
        setShown({ lines: newest, earlier: newest.length === PAGE });
        setError(null);
      }
      const take = (fresh: readonly Line[], now: Mode): void => {
        setMode(now);
        if (!fresh.length) return;
        held.current.last = fresh.at(-1)?.seq ?? held.current.last;
        setShown((old) => after(old ?? { lines: [], earlier: false }, fresh, reading.current ? MOST_HELD : MOST));
      };
      await new Follower(linesOf(run, asked, () => over.current), held.current.last, take, stop.signal).follow();
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    begin().catch((problem: unknown) => {
      if (stop.signal.aborted) return;
      setError(problem);
      if (!(problem instanceof ApiError)) timer = setTimeout(() => setTries((count) => count + 1), AGAIN_MS);
    });
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [run, silo, level, round, text, seen, tries, reading]);

  const first = shown?.lines[0]?.seq;
  const earlier = useCallback(async () => {
    if (first === undefined) return;
    const found = await page(run, { silo, level, round, text }, first);
    setShown((old) => old && before(old, found, found.length === PAGE));
  }, [run, silo, level, round, text, first]);
  return { shown, mode, error, again: () => setTries((count) => count + 1), earlier };
}
