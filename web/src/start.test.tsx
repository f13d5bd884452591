import { answering, person } from "./test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen } from "@testing-library/react";
import { type FunctionComponent, Suspense } from "react";
import { MemoryRouter, Route, Routes } from "react-router";
import { beforeEach, expect, it } from "vitest";
import { needs, PAGES } from "./addresses";
import { askAhead, forget } from "./api/ahead";
import { SessionProvider } from "./api/session";
import { later } from "./components/Later";
import { fetchParts, type Part, PARTS } from "./pages";

beforeEach(forget);

const run = { id: "r-1", name: "first", app: { name: "heart", version: "1.0.0", digest: "blake3:0" }, status: "finished", asks: false, masked: true, silos: [], reason: "", created_at: 1, ended_at: 2, submitter: "ada", project: "", rounds: 1, round: 1, finished_rounds: 1, attempt: 1, metrics: null, privacy: null };

/** Open an address as the entry and the program do; the paths that the coordinator was asked for, in order. */
async function opened(path: string): Promise<string[]> {
  const asked: string[] = [];
  answering((at, query) => {
    asked.push(query.size ? `/api/v1${at}?${query}` : `/api/v1${at}`);
    if (at === "/session") return person(["run.read", "run.submit"]);
    if (at.endsWith("/journal")) return { items: [{ seq: 1, at: 1, fact: { kind: "run_ended", outcome: "finished", reason: "" } }], next: null };
    return at === "/runs" ? { items: [run], next: null } : at === "/runs/r-1" ? run : undefined;
  });
  const { files, asks } = needs(path);
  askAhead(asks);
  await fetchParts(path);
  const page = PAGES.find((one) => one.file === files[0]);
  const Shown = later(PARTS[page?.file ?? "pages/Home.tsx"]);
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <MemoryRouter initialEntries={[path]}>
            <Routes>
              <Route path={page?.path} element={<Shown />} />
            </Routes>
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  expect(asked.slice(0, asks.length)).toEqual(asks);
  return asked;
}

it.each(["/runs", "/runs/r-1"])("what %s asks first is asked before the program is there, and never twice", async (path) => {
  const asked = await opened(path);
  await screen.findByText("first");
  for (const ask of needs(path).asks) expect(asked.filter((one) => one === ask), ask).toHaveLength(1);
});

it("each page is found at its own address, and a tab of a run brings its file", () => {
  for (const page of PAGES) {
    const address = `/${page.path.replace(":id/:tab?", "r-1").replace(/:\w+/g, "x")}`;
    expect(needs(address).files, address).toEqual([page.file]);
  }
  expect(needs("/runs/r-1/logs").files).toEqual(["pages/run/Run.tsx", "pages/run/Logs.tsx"]);
  expect(needs("/there/is/no/such/page").files).toEqual([]);
  expect(needs("/runs", "?status=paused").asks).toEqual(["/api/v1/session"]);
});

it("what was asked ahead is not taken by whoever signs in after it", async () => {
  const asked: string[] = [];
  answering((at) => {
    asked.push(at);
    return person([]);
  });
  const { api } = await import("./api/client");
  askAhead(["/api/v1/session"]);
  forget();
  await api.GET("/api/v1/session");
  expect(asked).toEqual(["/session", "/session"]);
});

it("a part whose file is here is shown at once, and one whose file is not, when it has come", async () => {
  const Page: FunctionComponent = () => <p>the page</p>;
  const here: Part<object> = { load: () => Promise.resolve(Page), here: Page };
  const Here = later(here);
  render(<Suspense fallback={<p>waiting</p>}><Here /></Suspense>);
  screen.getByText("the page");
  let come: (page: FunctionComponent) => void = () => undefined;
  const coming = new Promise<FunctionComponent>((done) => (come = done));
  const Coming = later({ load: () => coming, here: undefined });
  render(<Suspense fallback={<p>waiting</p>}><Coming /></Suspense>);
  screen.getByText("waiting");
  await act(async () => come(Page));
  expect(await screen.findAllByText("the page")).toHaveLength(2);
});
