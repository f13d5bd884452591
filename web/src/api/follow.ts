/** How does the page go on with a list that grows? Over server-sent events, resumed after a break; polled where there is none. */
import { ApiError } from "./client";
import { connection } from "./connection";
import { slot } from "./slots";
import { readStream } from "./stream";

/** live: told as it comes; polling: asked for now and then; broken: neither, for now; ended: nothing is to come. */
export type Mode = "live" | "polling" | "broken" | "ended";

/** A list whose entries have numbers that grow. */
export type Source<T extends { seq: number }> = {
  path: string; // of its stream
  page: (after: number | null, signal: AbortSignal) => Promise<readonly T[]>; // what has come after that, by asking
  ends: (last: T | null) => boolean; // whether nothing comes after this entry
};

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

/**
 * Follow a list until it is over, or `stop`.
 *
 * @param after the number of the last entry that is there already; null: whatever the stream begins with
 * @param changed is told what is new, and of each change of the mode
 */
export class Follower<T extends { seq: number }> {
  mode: Mode = "broken"; // until the first word
  private last: T | null = null;
  private silentStreams = 0;

  constructor(
    private readonly source: Source<T>,
    private readonly after: number | null,
    private readonly changed: (fresh: readonly T[], mode: Mode) => void,
    private readonly stop: AbortSignal,
  ) {}

  async follow(): Promise<void> {
    let wait = 500;
    while (!this.stop.aborted && this.mode !== "ended") {
      const before = this.last;
      try {
        const giveBack = this.silentStreams >= 2 ? null : await slot();
        if (giveBack) await this.stream().finally(giveBack);
        else if (!this.stop.aborted) await this.poll();
        if (this.source.ends(this.last)) this.enter("ended");
      } catch (error) {
        if (this.stop.aborted) return;
        if (error instanceof ApiError && [401, 403, 404].includes(error.status)) {
          this.enter("broken");
          return;
        }
        if (!(error instanceof ApiError) && !(error instanceof DOMException)) connection.lost();
        this.enter("broken");
      }
      wait = this.last !== before ? 500 : Math.min(wait * 2, MOST_WAIT_MS);
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
    try {
      await readStream(
        this.source.path,
        String(this.number() ?? ""),
        AbortSignal.any([this.stop, silent.signal]),
        (events) => {
          this.silentStreams = 0;
          this.take(events.map((one) => JSON.parse(one.data) as T), "live");
        },
        () => {
          alive();
          connection.found();
          if (this.mode === "broken" || this.mode === "polling") this.enter("live");
        },
      );
    } finally {
      clearTimeout(timer);
      if (!heard && silent.signal.aborted) this.silentStreams += 1;
    }
  }

  private async poll(): Promise<void> {
    this.take(await this.source.page(this.number(), this.stop), "polling");
  }

  private take(found: readonly T[], mode: Mode): void {
    if (this.stop.aborted) return; // what was read already, when nobody listens any more
    const number = this.number() ?? -1;
    const fresh = found.filter((one) => one.seq > number);
    this.last = fresh.at(-1) ?? this.last;
    this.mode = this.source.ends(this.last) ? "ended" : mode;
    this.changed(fresh, this.mode);
  }

  private enter(mode: Mode): void {
    this.mode = mode;
    if (!this.stop.aborted) this.changed([], mode);
  }

  private number(): number | null {
    return this.last?.seq ?? this.after;
  }

  private over(): boolean {
    return this.mode === "ended";
  }
}
