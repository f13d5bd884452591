import { answering, person, unable } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { MemoryRouter, Route, Routes } from "react-router";
import { expect, it } from "vitest";
import { SessionProvider } from "../api/session";
import { Ask } from "./Ask";
import { NewRun } from "./NewRun";
import { QuestionPage } from "./Question";
import { Statistics } from "./Statistics";

const column = { role: "feature", type: "number", unit: "", min: null, max: null, codes: {}, about: "" };
const description = { name: "heart", version: "1.0.0", leaves: [], hyper: { properties: {} }, presets: {}, columns: { age: { ...column, type: "integer", unit: "years", min: 18, max: 110 }, sex: { ...column, type: "code", codes: { 0: "female", 1: "male" } }, num: { ...column, type: "code", codes: { 0: "no", 1: "yes" } } } };
const silo = (name: string, presence: string, problem = "") => ({ name, presence, problem, awaited: false });
const run = (status: string, silos: object[], reason = "") => ({ id: "r-1", name: "statistics of heart", app: { name: "heart", version: "1.0.0", digest: "blake3:0" }, status, asks: true, silos, reason, created_at: 1, submitter: "ada", rounds: 1, finished_rounds: 0 });
const query = { columns: [{ name: "age", unit: "years", whole: true, minimum: 18, maximum: 110, moments: true }], tables: [], min_cell: 5, noise: null };

function page(at: string, answers: (path: string, query: URLSearchParams) => unknown, rights = ["run.read", "run.submit", "app.read", "silo.read"], queries = new QueryClient()): Request[] {
  const sent = answering((path, asked) => (path === "/session" ? person(rights, "ada") : answers(path, asked)));
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={queries}>
        <SessionProvider>
          <MemoryRouter initialEntries={[at]}>
            <Routes>
              <Route path="/statistics" element={<Statistics />} />
              <Route path="/runs/new" element={<NewRun />} />
              <Route path="/statistics/new" element={<Ask />} />
              <Route path="/statistics/:id" element={<QuestionPage />} />
            </Routes>
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return sent;
}

it("nothing was asked yet: the page says by which command one asks, and whoever may not ask has no button", async () => {
  const wanted: string[] = [];
  page("/statistics", (path, asked) => void (path === "/runs" && wanted.push(asked.get("asks") ?? "")), ["run.read"]);
  await screen.findByText("Nothing was asked yet");
  screen.getByText(/^septum stats run heart-disease/);
  expect(screen.queryByRole("link", { name: "Ask a question" })).toBeNull();
  expect(wanted).toEqual(["true"]);
});

it("a question is put together column by column, and sent as what it says", async () => {
  const sent = page("/statistics/new", (path) => {
    if (path === "/apps") return { items: [{ name: "heart", version: "1.0.0", digest: "blake3:0" }], next: null };
    if (path === "/silos") return { items: ["a", "b"].map((name) => ({ name, status: "online", enrolled_at: 1, seen_at: 1 })), next: null };
    if (path === "/apps/blake3:0/description" || path === "/apps/blake3%3A0/description") return description;
    return path === "/runs/r-1" ? run("gathering", []) : path === "/runs/r-1/plan" ? { query } : path === "/runs" ? run("gathering", []) : undefined;
  });
  const button = await screen.findByRole("button", { name: "Ask the silos" });
  expect(button.hasAttribute("disabled")).toBe(true);
  fireEvent.click(screen.getByRole("checkbox", { name: /^age/ }));
  const of = within(screen.getByRole("group", { name: "What is asked of age" }));
  fireEvent.click(of.getByRole("checkbox", { name: "Mean and deviation" }));
  screen.getByText("Choose what is asked of it");
  expect(button.hasAttribute("disabled")).toBe(true);
  fireEvent.click(of.getByRole("checkbox", { name: "Quartiles" }));
  fireEvent.click(screen.getByRole("checkbox", { name: /^sex/ }));
  fireEvent.click(screen.getByRole("checkbox", { name: /^num/ }));
  for (const [side, name] of [["Rows", "sex"], ["Columns", "num"]] as const) {
    const field = screen.getByRole("combobox", { name: side });
    fireEvent.click(field);
    const list = document.getElementById(field.getAttribute("aria-controls") ?? "") as HTMLElement;
    fireEvent.click(within(list).getByRole("option", { name, hidden: true }));
  }
  fireEvent.click(screen.getByRole("button", { name: "Add the table" }));
  screen.getByText("septum stats run heart==1.0.0 --columns num,sex --quantiles age --table sex,num");
  fireEvent.click(screen.getByRole("checkbox", { name: /^num/ })); // its table goes with it
  screen.getByText("septum stats run heart==1.0.0 --columns sex --quantiles age");
  fireEvent.click(screen.getByRole("checkbox", { name: "b" }));
  expect(button.hasAttribute("disabled")).toBe(true); // of one silo alone there is no masked sum
  fireEvent.click(screen.getByRole("checkbox", { name: "b" }));
  fireEvent.click(button);
  await waitFor(() => expect(sent).toHaveLength(1));
  const plan = (await sent[0]?.json()) as { query: { columns: { name: string }[]; tables: object[] } };
  expect([plan.query.columns.map((one) => one.name), plan.query.tables]).toEqual([["age", "sex"], []]);
});

it.each(["/statistics/new", "/runs/new"])("%s opens once the silos are known: those that are told late are asked, too", async (at) => {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  let away = true;
  const silos = ["a", "b"].map((name) => ({ name, status: "online", enrolled_at: 1, seen_at: 1 }));
  const answers = (path: string): unknown => {
    if (path === "/apps") return { items: [{ name: "heart", version: "1.0.0", digest: "blake3:0" }], next: null };
    if (path === "/silos") return away ? unable("the store is busy") : { items: silos, next: null };
    return path.endsWith("/description") ? description : undefined;
  };
  page(at, answers, undefined, queries);
  await screen.findByText("the store is busy");
  await waitFor(() => expect(queries.getQueryData(["description", "blake3:0"])).toBeDefined());
  away = false;
  await queries.invalidateQueries({ queryKey: ["silos"] }); // as what changes has them asked for again
  for (const name of ["a", "b"]) expect((await screen.findByRole<HTMLInputElement>("checkbox", { name })).checked).toBe(true);
});

const journal = (facts: object[]) => ({ items: facts.map((fact, at) => ({ seq: at + 1, at: 1, fact })), next: null });

it("who refuses is named with the reason, and that there is no answer", async () => {
  page("/statistics/r-1", (path) => {
    if (path === "/runs/r-1") return run("failed", [silo("a", "refused", "refused by its rule 'policy.queries': not here"), silo("b", "active")], "1 of 2 silos joined");
    if (path === "/runs/r-1/plan") return { query };
    return path.endsWith("/journal") ? journal([{ kind: "run_ended", outcome: "failed", reason: "" }]) : undefined;
  });
  await screen.findByText("There is no answer");
  screen.getByText("refused by its rule 'policy.queries': not here");
  screen.getByText("1 of 2 silos joined");
  expect(screen.queryByRole("button", { name: "Download as CSV" })).toBeNull();
});

it("an answer with noise says who pays how much, and how far off its counts are", async () => {
  const answer = { rows: 98, silos: ["a", "b"], columns: [{ name: "age", present: 98, missing: -1, mean: 54.1, sd: null, mean_error: 0.42 }], tables: [], count_error: 7.5123 };
  page("/statistics/r-1", (path) => {
    if (path === "/runs/r-1") return run("finished", [silo("a", "active"), silo("b", "active"), silo("c", "absent")]);
    if (path === "/runs/r-1/plan") return { query: { ...query, noise: { epsilon: 2, delta: 1e-5 } } };
    return path.endsWith("/journal") ? journal([{ kind: "statistics_made", query, answer }, { kind: "run_ended", outcome: "finished", reason: "" }]) : undefined;
  });
  await screen.findByText("98 rows of a, b together");
  screen.getByText("54.1 ± 0.42");
  screen.getByText("in the noise");
  screen.getByText("7.51 people");
  screen.getByText("a, b", { selector: "dd" });
  screen.getByText(/A count below 0 is noise/);
  screen.getByRole("button", { name: "Download as CSV" });
});
