import { afterEach, describe, expect, it, vi } from "vitest";
import { Follower, type Mode, type Source } from "./follow";
import { type Entry, journalOf } from "./journal";

const entry = (seq: number, fact: object = { kind: "silo_joined", silo: `s${seq}` }): Entry => ({ seq, at: seq, fact }) as Entry;
const ended = { kind: "run_ended", outcome: "finished", reason: "" };
const frame = (one: { seq: number }): string => `id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`;

/** A coordinator that answers one request after the other, and notes from where each wanted to go on. */
function answering(...answers: (string | number)[]): (string | null)[] {
  const asked: (string | null)[] = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit = {}) => {
    if (String(path).includes("health")) return Promise.resolve(new Response("{}"));
    asked.push(new Headers(init.headers).get("last-event-id"));
    const answer = answers.shift();
    if (answer === undefined) return new Promise(() => undefined);
    if (answer === 0) return Promise.reject(new TypeError("Failed to fetch"));
    if (typeof answer === "number") return Promise.resolve(new Response("{}", { status: answer }));
    return Promise.resolve(new Response(answer));
  });
  return asked;
}

/** Follow, and keep what came and which modes there were. */
function following<T extends { seq: number }>(source: Source<T>, after: number | null) {
  const seen = { numbers: [] as number[], modes: [] as Mode[] };
  const stop = new AbortController();
  const take = (fresh: readonly T[], mode: Mode): void => {
    seen.numbers.push(...fresh.map((one) => one.seq));
    seen.modes.push(mode);
  };
  const done = new Follower(source, after, take, stop.signal).follow();
  return { seen, stop, done };
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("following a list", () => {
  it("goes on after a break where it was, and shows no entry twice", async () => {
    vi.useFakeTimers();
    const asked = answering(frame(entry(1)) + frame(entry(2)), 0, frame(entry(2)) + frame(entry(3)) + frame(entry(4, ended)));
    const { seen, done } = following(journalOf("r-1"), 0);
    await vi.runAllTimersAsync();
    await done;
    expect(asked).toEqual(["0", "2", "2"]);
    expect(seen.numbers).toEqual([1, 2, 3, 4]);
    expect(seen.modes.at(-1)).toBe("ended");
  });

  it("says that it is broken while the coordinator is away", async () => {
    vi.useFakeTimers();
    answering(frame(entry(1)), 0, 503);
    const { seen, stop } = following(journalOf("r-1"), 0);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(seen.modes[0]).toBe("live");
    expect(seen.modes).toContain("broken");
    stop.abort();
  });

  it("does not ask again where it may not look", async () => {
    const asked = answering(403, frame(entry(1)));
    const { seen, done } = following(journalOf("r-1"), 0);
    await done;
    expect(asked).toHaveLength(1);
    expect(seen.modes).toEqual(["broken"]);
  });

  it("begins with what comes from now on if it names no entry, and goes on from the first that came", async () => {
    vi.useFakeTimers();
    const asked = answering(frame({ seq: 41 }), 0);
    const { seen, stop } = following({ path: "/api/v1/events", page: () => Promise.resolve([]), ends: () => false }, null);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(asked.slice(0, 2)).toEqual([null, "41"]);
    expect(seen.numbers).toEqual([41]);
    stop.abort();
  });

  it("asks again and again where two streams in a row say no word, as behind a proxy that holds them back", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("fetch", (_path: string, init: RequestInit) => new Promise((_, no) => init.signal?.addEventListener("abort", () => no(new DOMException("", "AbortError")))));
    const wanted: (number | null)[] = [];
    const page = (after: number | null) => Promise.resolve(wanted.push(after) === 1 ? [{ seq: 5 }, { seq: 6 }] : []);
    const { seen, stop } = following({ path: "/silent", page, ends: () => false }, 4);
    await vi.advanceTimersByTimeAsync(25_000);
    expect(wanted.slice(0, 2)).toEqual([4, 6]);
    expect(seen.numbers).toEqual([5, 6]);
    expect(seen.modes.at(-1)).toBe("polling");
    stop.abort();
  });

  it("is over when the stream ends and nothing is to come, even if none came", async () => {
    answering(": nothing new\n\n");
    const { seen, done } = following({ path: "/over", page: () => Promise.resolve([]), ends: () => true }, 0);
    await done;
    expect(seen.modes.at(-1)).toBe("ended");
  });

  it("tells nothing to whoever has stopped, not even what was read already", async () => {
    vi.useFakeTimers();
    answering(frame({ seq: 1 }));
    const stopping = following({ path: "/one", page: () => Promise.resolve([]), ends: () => false }, null);
    const reading = ReadableStreamDefaultReader.prototype.read;
    vi.spyOn(ReadableStreamDefaultReader.prototype, "read").mockImplementation(function (this: ReadableStreamDefaultReader) {
      stopping.stop.abort();
      return reading.call(this);
    });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stopping.seen.numbers).toEqual([]);
    vi.restoreAllMocks();
  });
});
