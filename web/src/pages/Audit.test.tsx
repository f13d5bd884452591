import { answering, person } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, within } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, it } from "vitest";
import { SessionProvider } from "../api/session";
import kept from "../test/audit.json";
import { Audit, commandOf } from "./Audit";

type Kept = typeof kept;
const PATIENCE = { timeout: 4_000 }; // hashes are made away from the page

function page(address: string, log: Kept = kept, rights = ["audit.read"]): URLSearchParams[] {
  const asked: URLSearchParams[] = [];
  const events = log.lines.map(({ event }) => JSON.parse(event) as { seq: number; kind: string }).reverse();
  answering((path, query) => {
    if (path === "/session") return person(rights);
    if (path === "/audit") {
      asked.push(query);
      const before = Number(query.get("after") || 99);
      const found = events.filter((one) => one.seq < before && one.kind.startsWith(query.get("kind") ?? ""));
      return { items: found.slice(0, Number(query.get("limit"))), next: null };
    }
    if (path === "/audit/lines") return { items: log.lines, next: null };
    const after = Number(query.get("after"));
    if (path === "/audit/heads") return { items: log.heads.filter((one) => one.head.size > after), next: null };
    if (path === "/audit/countersignatures") return { items: log.countersignatures.filter((one) => one.size > after), next: null };
    return undefined;
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
        <SessionProvider>
          <MemoryRouter initialEntries={[address]}>
            <Audit />
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return asked;
}

it("events are told newest first, above them the newest head and who countersigned it, and all of it is checked here", async () => {
  page("/audit");
  const table = await screen.findByRole("table", { name: "Audit log" });
  expect(within(table).getAllByRole("button").map((one) => one.textContent).slice(2, 5)).toEqual(["A person or token asked for what it has no right to.", "The run r-1 has finished.", "A round has made a model."]);
  await screen.findByText("basel up to event 6");
  fireEvent.click(screen.getByRole("button", { name: "Verify" }));
  await screen.findByText("The audit log holds: 7 events, 2 signed heads", undefined, PATIENCE);
});

it("a log that somebody changed does not hold, and the first event that is not what it was is named", async () => {
  const other = structuredClone(kept);
  (other.lines[2] as { event: string }).event = kept.lines[2]?.event.replace("r-1", "r-2") ?? "";
  page("/audit", other);
  fireEvent.click(await screen.findByRole("button", { name: "Verify" }));
  await screen.findByText("The audit log does not hold", undefined, PATIENCE);
  screen.getByText(/^audit event 3 does not hold: its hash is not that of the events up to it/);
});

it("an address says what is looked for, and which event is open; the empty state has the command for the same", async () => {
  const asked = page("/audit?kind=roster&by=ada&silo=basel&run=r-1&since=2026-01-31&until=no+time&event=4");
  await screen.findByText("Nothing is like this");
  screen.getByText("septum audit list --kind roster --by ada --run r-1 --silo basel --since 2026-01-31");
  expect(Object.fromEntries(asked.find((one) => one.get("kind")) ?? [])).toMatchObject({ kind: "roster", by: "ada", silo: "basel", run: "r-1", since: "2026-01-31", until: "" });
  const dialog = await screen.findByRole("dialog", { name: "Event 4" });
  await within(dialog).findByText("heart 1.0");
  within(dialog).getByText("septum audit list --before 5 --limit 1");
  expect(commandOf({ by: "Ada L" })).toBe("septum audit list --by 'Ada L'");
});

it("whoever may not read the log is told so, and nothing is asked", async () => {
  const asked = page("/audit", kept, ["run.read"]);
  await screen.findByText("You may not read the audit log");
  expect(asked).toEqual([]);
});
