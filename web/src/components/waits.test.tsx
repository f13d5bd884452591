import { answering, person } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { MemoryRouter } from "react-router";
import { SessionProvider } from "../api/session";
import { Waits } from "../pages/Waits";

/** The list as somebody with these rights sees it, of a federation in which something of each kind waits; what was asked for. */
function waits(rights: string[]): string[] {
  const asked: string[] = [];
  answering((path, query) => {
    asked.push(path);
    const page = (...items: unknown[]) => ({ items, next: null });
    if (path === "/session") return person(rights);
    if (path === "/models/versions") return page({ stage: "candidate", version: { name: "heart", version: 3, registered: { by: "ada", at: 7 } } });
    if (path === "/runs") return query.getAll("status").includes("queued") ? page({ id: "r-1", name: "first", status: "queued", reason: "no room", position: 1 }) : undefined;
    if (path === "/activity" && query.get("kind") === "silo.budget_low") return page({ seq: 1, at: 1, change: { kind: "silo.budget_low", silo: "a" } });
    if (path === "/silos/a") return { silo: { name: "a", status: "online", seen_at: 1, enrolled_at: 1 }, standing: { budget_low: ["heart"] }, description: null, described_at: 0, stood_at: 1 };
    return path === "/silos" ? page({ name: "b", status: "offline", seen_at: 1, enrolled_at: 1 }) : undefined;
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <MemoryRouter>
            <Waits />
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return asked;
}

it("what waits leads to where it is done, the approvals first", async () => {
  waits(["run.read", "silo.read", "model.read", "model.approve"]);
  await screen.findByText(/has little privacy budget left for heart/);
  const links = screen.getAllByRole("link").map((link) => [link.textContent, link.getAttribute("href")]);
  expect(links).toEqual([["heart 3", "/models/heart/3"], ["first", "/runs/r-1"], ["a", "/silos/a"], ["b", "/silos/b"]]);
  expect(screen.getByText(/waits in the queue, as number 1: no room/)).toBeTruthy();
});

it("nobody is told of what they may not do, nor is it asked for", async () => {
  const asked = waits(["run.read"]);
  await screen.findByText(/waits in the queue/);
  expect(screen.getAllByRole("link")).toHaveLength(1);
  expect(asked.filter((path) => /models|silos/.test(path))).toEqual([]);
});
