import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Change, touched, useFeed, usePace } from "./feed";

type Stream = { signal: AbortSignal; say: (kind: string) => void; fail: () => void };

/** A coordinator's feed; each stream that is asked for is kept. */
function feed(): Stream[] {
  const streams: Stream[] = [];
  let seq = 0;
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    if (path !== "/api/v1/events") return Promise.resolve(new Response("{}"));
    const bytes = new TransformStream<Uint8Array, Uint8Array>();
    const writer = bytes.writable.getWriter();
    const signal = init.signal as AbortSignal;
    const quiet = setInterval(() => void writer.write(new TextEncoder().encode(": nothing new\n\n")).catch(() => undefined), 15_000);
    signal.addEventListener("abort", () => {
      clearInterval(quiet);
      void writer.abort(signal.reason).catch(() => undefined);
    });
    streams.push({
      signal,
      say: (kind) => {
        seq += 1;
        void writer.write(new TextEncoder().encode(`id: ${seq}\ndata: ${JSON.stringify({ seq, at: 0, change: { kind } })}\n\n`));
      },
      fail: () => void writer.abort(new TypeError("network")).catch(() => undefined),
    });
    return Promise.resolve(new Response(bytes.readable));
  });
  return streams;
}

function Page({ wanted, paces }: { wanted: boolean; paces: number[] }) {
  useFeed(wanted);
  const pace = usePace();
  paces.push(pace());
  return null;
}

function shown(queries: QueryClient) {
  const paces: number[] = [];
  const page = (wanted: boolean) => (
    <QueryClientProvider client={queries}>
      <Page wanted={wanted} paces={paces} />
    </QueryClientProvider>
  );
  const { rerender, unmount } = render(page(true));
  return { paces, want: (wanted: boolean) => rerender(page(wanted)), unmount };
}

const pass = (ms: number): Promise<void> =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });
const see = (state: "visible" | "hidden"): void => {
  Object.defineProperty(document, "visibilityState", { configurable: true, value: state });
  document.dispatchEvent(new Event("visibilitychange"));
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  see("visible");
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the feed", () => {
  it("has the lists asked for again that a change names, and no others", async () => {
    const streams = feed();
    const queries = new QueryClient();
    const { unmount } = shown(queries);
    await pass(1_000);
    for (const key of ["runs", "silos", "activity", "description"]) queries.setQueryData([key], 1);
    streams[0]?.say("run.submitted");
    await pass(1_000);
    const stale = (key: string) => queries.getQueryState([key])?.isInvalidated;
    expect([stale("runs"), stale("activity")]).toEqual([true, true]);
    expect([stale("silos"), stale("description")]).toEqual([false, false]);
    unmount();
  });

  it("has asked for again what was there before it was listened to, as that may have changed unheard", async () => {
    feed();
    const queries = new QueryClient();
    queries.setQueryData(["silos"], 1, { updatedAt: 1 });
    queries.setQueryData(["description"], 1, { updatedAt: 1 });
    const { unmount } = shown(queries);
    await pass(1_000);
    expect(queries.getQueryState(["silos"])?.isInvalidated).toBe(true);
    expect(queries.getQueryState(["description"])?.isInvalidated).toBe(false);
    unmount();
  });

  it("is one stream, which lists are asked for seldom beside, and often where it breaks", async () => {
    const streams = feed();
    const { paces, unmount } = shown(new QueryClient());
    expect(paces.at(-1)).toBe(5_000);
    await pass(100);
    expect(paces.at(-1)).toBe(60_000);
    await act(async () => streams[0]?.fail());
    await pass(10);
    expect(paces.at(-1)).toBe(5_000);
    await pass(10_000);
    expect(paces.at(-1)).toBe(60_000);
    expect(streams).toHaveLength(2);
    unmount();
  });

  it("is let go where it is not wanted, when nobody sees the page for a minute, and at the end", async () => {
    const streams = feed();
    const { want, unmount } = shown(new QueryClient());
    await pass(100);
    want(false);
    expect(streams[0]?.signal.aborted).toBe(true);
    want(true);
    await pass(100);
    act(() => see("hidden"));
    await pass(59_000);
    expect(streams[1]?.signal.aborted).toBe(false);
    await pass(2_000);
    expect(streams[1]?.signal.aborted).toBe(true);
    await pass(60_000);
    expect(streams).toHaveLength(2);
    act(() => see("visible"));
    await pass(100);
    expect(streams).toHaveLength(3);
    unmount();
    expect(streams[2]?.signal.aborted).toBe(true);
  });

  it("names the lists of a change by its noun", () => {
    const of = (kind: string) => touched({ kind } as Change);
    expect(of("silo.offline")).toEqual(["activity", "silos", "silo"]);
    expect(of("person.roles")).toContain("session");
    expect(of("something.new")).toEqual(["activity"]);
  });
});
