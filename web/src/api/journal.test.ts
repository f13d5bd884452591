import { afterEach, describe, expect, it, vi } from "vitest";
import { type Entry, Follower } from "./journal";

const entry = (seq: number, fact: object = { kind: "silo_joined", silo: `s${seq}` }): Entry => ({ seq, at: seq, fact }) as Entry;
const ended = { kind: "run_ended", outcome: "finished", reason: "" };
const frame = (one: Entry): string => `id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`;

/** A coordinator that answers one request after the other, and notes from where each wanted to go on. */
function answering(...answers: (string | number)[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit = {}) => {
    if (String(path).includes("health")) return Promise.resolve(new Response("{}"));
    asked.push(new Headers(init.headers).get("last-event-id") ?? "");
    const answer = answers.shift();
    if (answer === undefined) return new Promise(() => undefined);
    if (answer === 0) return Promise.reject(new TypeError("Failed to fetch"));
    if (typeof answer === "number") return Promise.resolve(new Response("{}", { status: answer }));
    return Promise.resolve(new Response(answer));
  });
  return asked;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("following a run", () => {
  it("goes on after a break where it was, and shows no entry twice", async () => {
    vi.useFakeTimers();
    const asked = answering(frame(entry(1)) + frame(entry(2)), 0, frame(entry(2)) + frame(entry(3)) + frame(entry(4, ended)));
    const follower = new Follower("r-1", () => undefined, new AbortController().signal);
    const following = follower.follow();
    await vi.runAllTimersAsync();
    await following;
    expect(asked).toEqual(["0", "2", "2"]);
    expect(follower.entries.map((one) => one.seq)).toEqual([1, 2, 3, 4]);
    expect(follower.mode).toBe("ended");
  });

  it("says that it is broken while the coordinator is away", async () => {
    vi.useFakeTimers();
    answering(frame(entry(1)), 0, 503);
    const modes: string[] = [];
    const stop = new AbortController();
    const follower = new Follower("r-1", () => modes.push(follower.mode), stop.signal);
    void follower.follow();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(modes[0]).toBe("live");
    expect(modes).toContain("broken");
    stop.abort();
  });

  it("does not ask again where it may not look", async () => {
    const asked = answering(403, frame(entry(1)));
    const follower = new Follower("r-1", () => undefined, new AbortController().signal);
    await follower.follow();
    expect(asked).toHaveLength(1);
    expect(follower.mode).toBe("broken");
  });
});
