/** What happened in a run, live: its journal over server-sent events, resumed after a break; polled where they fail. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { ApiError, api, type Schemas, told } from "./client";
import { connection } from "./connection";
import { readStream } from "./stream";

export type Entry = Schemas["JournalView"];
export type Fact = Entry["fact"];
export type Journal = { entries: readonly Entry[]; mode: "live" | "polling" | "broken" | "ended" };

const SILENT_MS = 40_000; // a living stream says something every 15 s
const OPEN_MS = 8_000; // within which a stream says its first word, or a proxy holds it back
const POLL_MS = 2_000;
const MOST_WAIT_MS = 5_000;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });

/** Follow a run until it has ended. */
export class Follower {
  entries: Entry[] = [];
  mode: Journal["mode"] = "live";
  private silentStreams = 0;

  constructor(
    private readonly run: string,
    private readonly changed: (fresh: readonly Entry[]) => void,
    private readonly stop: AbortSignal,
  ) {}

  async follow(): Promise<void> {
    let wait = 500;
    while (!this.stop.aborted && this.mode !== "ended") {
      const before = this.entries.length;
      try {
        if (this.silentStreams >= 2) await this.poll();
        else await this.stream();
      } catch (error) {
        if (this.stop.aborted) return;
        if (error instanceof ApiError && [401, 403, 404].includes(error.status)) {
          this.enter("broken");
          return;
        }
        if (!(error instanceof ApiError) && !(error instanceof DOMException)) connection.lost();
        this.enter("broken");
      }
      wait = this.entries.length > before ? 500 : Math.min(wait * 2, MOST_WAIT_MS);
      if (!this.over()) await pause(this.mode === "polling" ? POLL_MS : wait, this.stop);
    }
  }

  private async stream(): Promise<void> {
    const silent = new AbortController();
    let heard = false;
    let timer = setTimeout(() => silent.abort(), OPEN_MS);
    const alive = (): void => {
      clearTimeout(timer);
      heard = true;
      timer = setTimeout(() => silent.abort(), SILENT_MS);
    };
    const signal = AbortSignal.any([this.stop, silent.signal]);
    try {
      await readStream(
        `/api/v1/runs/${encodeURIComponent(this.run)}/events`,
        String(this.last()),
        signal,
        (events) => {
          this.silentStreams = 0;
          this.take(events.map((one) => JSON.parse(one.data) as Entry), "live");
        },
        () => {
          alive();
          connection.found();
          if (this.mode === "broken") this.enter("live");
        },
      );
    } finally {
      clearTimeout(timer);
      if (!heard && silent.signal.aborted) this.silentStreams += 1;
    }
  }

  private async poll(): Promise<void> {
    const query = { after: String(this.last()), limit: 1000 };
    const path = { run_id: this.run };
    const page = await told(api.GET("/api/v1/runs/{run_id}/journal", { params: { path, query }, signal: this.stop }));
    this.take(page.items, "polling");
  }

  private take(fresh: readonly Entry[], mode: Journal["mode"]): void {
    const last = this.last();
    const more = fresh.filter((one) => one.seq > last);
    this.entries = more.length ? [...this.entries, ...more] : this.entries;
    this.mode = this.over() ? "ended" : mode;
    this.changed(more);
  }

  private enter(mode: Journal["mode"]): void {
    this.mode = mode;
    this.changed([]);
  }

  private last(): number {
    return this.entries.at(-1)?.seq ?? 0;
  }

  private over(): boolean {
    return this.entries.at(-1)?.fact.kind === "run_ended";
  }
}

const REFRESH_MS = 300;

/** The journal of a run; the run itself is asked for again when something happened. */
export function useJournal(run: string): Journal {
  const [journal, setJournal] = useState<Journal>({ entries: [], mode: "live" });
  const queries = useQueryClient();
  const refresh = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    setJournal({ entries: [], mode: "live" });
    const follower = new Follower(
      run,
      (fresh) => {
        setJournal({ entries: follower.entries, mode: follower.mode });
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
