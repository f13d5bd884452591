import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render, screen } from "@testing-library/react";
import { MemoryRouter, useLocation } from "react-router";
import { beforeEach, expect, it, vi } from "vitest";
import type { Run } from "../../api/queries";
import type { Line } from "../../lib/lines";

type Answer = (url: URL) => Response;
const server = vi.hoisted(() => {
  const state: { answer: Answer; asked: URL[] } = { answer: () => new Response("{}"), asked: [] };
  globalThis.fetch = (input) => {
    const url = new URL(input instanceof Request ? input.url : String(input), "http://septum.test");
    state.asked.push(url);
    return Promise.resolve(state.answer(url));
  };
  return state;
});
const { commandOf, Logs } = await import("./Logs"); // after fetch, which the client takes as it finds it

const line = (seq: number, text: string, more: Partial<Line> = {}): Line => ({ seq, silo: "basel", at: 1000 + seq, level: "info", origin: "agent", round: 1, text, ...more });
const run = (status: string): Run => ({ id: "r-1", status, silos: [{ name: "basel" }, { name: "bern" }] }) as Run;

/** A run's log that has these lines already; the other ones are told over its stream. */
function log(...there: Line[]) {
  const streams: WritableStreamDefaultWriter<Uint8Array>[] = [];
  server.asked.length = 0;
  server.answer = (url) => {
    if (!url.pathname.endsWith("/stream")) return Response.json({ items: there, next: null });
    const bytes = new TransformStream<Uint8Array, Uint8Array>();
    streams.push(bytes.writable.getWriter());
    return new Response(bytes.readable);
  };
  return async (one: Line): Promise<void> => {
    await act(async () => {
      await streams.at(-1)?.write(new TextEncoder().encode(`id: ${one.seq}\ndata: ${JSON.stringify(one)}\n\n`));
    });
  };
}

function Address() {
  return <output>{useLocation().search}</output>;
}

function shown(status = "training", at = "/") {
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <MemoryRouter initialEntries={[at]}>
          <Logs run={run(status)} />
          <Address />
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

beforeEach(() => {
  server.asked.length = 0;
});

it("lines come as they are told, after those that were there", async () => {
  const tell = log(line(7, "was there"));
  shown();
  await screen.findByText("was there");
  await screen.findByText("live");
  await tell(line(9, "has come"));
  await screen.findByText("has come");
  const [first, stream] = server.asked;
  expect(first?.searchParams.get("before")).not.toBeNull();
  expect(stream?.pathname).toBe("/api/v1/runs/r-1/logs/stream");
});

it("nothing moves while it is not followed, and what came meanwhile is counted", async () => {
  const tell = log(line(1, "first"));
  shown();
  await screen.findByText("live");
  fireEvent.click(screen.getByRole("button", { name: "Stop following" }));
  await tell(line(2, "second"));
  await tell(line(3, "third"));
  const on = await screen.findByRole("button", { name: "Follow: 2 new" });
  expect(screen.queryByText("second")).toBeNull();
  fireEvent.click(on);
  await screen.findByText("third");
});

it("lines that were dropped are shown as such", async () => {
  log(line(1, "17 lines of this silo are missing here", { origin: "coordinator", level: "warning" }));
  shown();
  await screen.findByText("17 lines of basel were dropped");
});

it("filters stand in the address, and hold for what is there and what comes", async () => {
  log(line(1, "first"));
  shown("training", "/?silo=bern&level=warning&round=3");
  await screen.findByText("live");
  for (const asked of server.asked.slice(0, 2))
    expect(["silo", "level", "round"].map((name) => asked.searchParams.get(name))).toEqual(["bern", "warning", "3"]);
  fireEvent.change(screen.getByLabelText("Text"), { target: { value: "loss" } });
  await vi.waitFor(() => expect(screen.getByRole("status").textContent).toContain("text=loss"));
  await vi.waitFor(() => expect(server.asked.at(-1)?.searchParams.get("text")).toBe("loss"));
});

it("an empty log has the command that asks for the same", async () => {
  log();
  shown("finished", "/?silo=bern");
  await screen.findByText("septum log show r-1 --silo bern --level info");
  expect(screen.queryByRole("button", { name: "Stop following" })).toBeNull();
  expect(commandOf("r-1", { silo: "", level: "error", round: "2", text: "a b" })).toBe("septum log show r-1 --level error --round 2 --text 'a b'");
});

it("all that is like this is downloaded page by page, also what is not on the page", async () => {
  const kept: Blob[] = [];
  Object.assign(URL, { createObjectURL: (blob: Blob) => `blob:${kept.push(blob)}`, revokeObjectURL: () => undefined });
  const lines = [line(1, "first"), line(2, "second", { level: "error" }), line(3, "1 line of this silo is missing here", { origin: "coordinator", silo: "" })];
  server.answer = ({ searchParams }) => {
    const after = searchParams.get("after");
    if (after === null) return Response.json({ items: lines.slice(2), next: null });
    return Response.json({ items: lines.slice(Number(after), Number(after) + 2), next: after === "0" ? "2" : null });
  };
  shown("finished", "/?silo=basel");
  fireEvent.click(await screen.findByRole("button", { name: "Download" }));
  await vi.waitFor(() => expect(kept).toHaveLength(1));
  const text = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsText(kept[0] as Blob);
  });
  expect(kept[0]?.type).toBe("text/plain");
  expect(text).toBe(
    "1970-01-01T00:16:41.000Z info basel round 1 first\n1970-01-01T00:16:42.000Z error basel round 1 second\n1970-01-01T00:16:43.000Z info coordinator round 1 1 line of this silo is missing here\n",
  );
  expect(server.asked.filter((asked) => asked.searchParams.has("after")).map((asked) => [asked.searchParams.get("after"), asked.searchParams.get("silo")])).toEqual([["0", "basel"], ["2", "basel"]]);
});
