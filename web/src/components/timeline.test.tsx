import { answering, person } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, fireEvent, render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { MemoryRouter } from "react-router";
import { SessionProvider } from "../api/session";
import type { Attempt } from "../lib/timeline";
import { Timeline } from "../pages/run/Timeline";

const span = (doing: string, start: number, duration_s: number) => ({ doing, start, duration_s });

function round(number: number): Attempt {
  const start = 1000 + 10 * number;
  const slow = number === 99;
  return {
    stage: "train", round: number, attempt: 1, start, duration_s: 10, under_way: false, problem: "",
    coordinator: [span("wait", start, 9), span("aggregate", start + 9, 1)],
    silos: [{ silo: "a", own_s: slow ? 9 : 2, slow, problem: "", spans: [span("train", start, slow ? 9 : 2), ...(slow ? [] : [span("wait", start + 2, 7)])] }],
  } as Attempt;
}

/** The timeline of a run, told in pages; round 99 is slow. What was asked for is kept. */
async function timeline(at = "/", rounds = 150, queries = new QueryClient()): Promise<string[]> {
  const asked: string[] = [];
  answering((path, query) => {
    if (path === "/session") return person(["log.read"]);
    const [after, limit] = [Number(query.get("after") || -1), Number(query.get("limit"))];
    asked.push(String(after));
    const items = Array.from({ length: rounds }, (_, index) => ({ round: index, attempts: [round(index)] })).slice(after + 1, after + 1 + limit);
    return { items, next: after + limit < rounds - 1 ? String(after + limit) : null };
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={queries}>
        <SessionProvider>
          <MemoryRouter initialEntries={[at]}>
            <Timeline run={{ id: "r-1", status: "finished", created_at: 1000, silos: [{ name: "a" }] } as never} />
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  await screen.findByTestId("gantt");
  return asked;
}

const cards = () => [...document.querySelectorAll("section[aria-label^='Round ']")].map((card) => card.getAttribute("aria-label"));

it("all rounds are there, and ten of them in detail, the slow one first", async () => {
  const asked = await timeline();
  expect(asked).toEqual(["-1", "39", "79", "119"]);
  expect(cards()).toHaveLength(10);
  expect(cards()[0]).toBe("Round 99");
  expect(screen.getByTestId("part").textContent).toBe("25 min of 25 min");
});

it("what was told is not asked for again, but for the last pages", async () => {
  const queries = new QueryClient();
  const asked = await timeline("/?order=time", 150, queries);
  asked.length = 0;
  await act(() => queries.refetchQueries({ queryKey: ["timeline", "r-1"] }));
  expect(asked).toEqual(["79", "119"]);
  expect(screen.getByText(/^150 stages;/)).toBeTruthy();
});

it("time is zoomed by keyboard, by button and by wheel, and back to the whole", async () => {
  await timeline("/", 12);
  const area = screen.getByLabelText(/Time by silo/);
  const seconds = () => screen.getByTestId("part").textContent;
  fireEvent.keyDown(area, { key: "+" });
  expect(seconds()).toBe("72 s of 2 min");
  fireEvent.click(screen.getByLabelText("Nearer"));
  expect(seconds()).toBe("43 s of 2 min");
  fireEvent.wheel(area, { deltaY: -100 });
  expect(seconds()).toBe("26 s of 2 min");
  fireEvent.keyDown(area, { key: "0" });
  expect(seconds()).toBe("2 min of 2 min");
});

it("a span that is chosen says how long it took and leads to its log and to the load of its machine", async () => {
  await timeline();
  fireEvent.click(screen.getByLabelText("a, round 99: trains, 9.0 s, slower than the others"));
  const chosen = await screen.findByLabelText("The chosen span");
  const links = [...chosen.querySelectorAll("a")].map((link) => link.getAttribute("href"));
  expect(links).toEqual(["/runs/r-1/logs?silo=a&round=99", "/runs/r-1/system?silo=a&round=99&from=990.000&to=1000.000"]);
});

it("an address shows the part and the span that it names", async () => {
  await timeline("/?from=985&to=1005&silo=a&span=990.000");
  expect(screen.getByTestId("part").textContent).toBe("20 s of 25 min");
  expect((await screen.findByLabelText("The chosen span")).textContent).toContain("round 99");
  expect(cards()).toEqual(["Round 99", "Round 98", "Round 100"]);
});
