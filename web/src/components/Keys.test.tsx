import { answering, person } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, waitFor } from "@testing-library/react";
import { MemoryRouter, useLocation } from "react-router";
import { expect, it } from "vitest";
import { SessionProvider } from "../api/session";
import { Keys } from "./Keys";

function Where() {
  const { pathname, search } = useLocation();
  return <p data-testid="where">{pathname + search}</p>;
}

/** What the coordinator was asked for, as path and text; it knows ten runs, of which the page shows eight. */
function palette(rights: string[]): string[] {
  const asked: string[] = [];
  answering((path, query) => {
    if (path === "/session") return person(rights);
    asked.push(`${path} ${query.get("q")}`);
    const text = query.get("q") ?? "";
    const names = Array.from({ length: 10 }, (_, at) => `heart ${at}`).filter((name) => name.includes(text));
    if (path === "/runs") return { items: names.slice(0, Number(query.get("limit"))).map((name, at) => ({ id: `r-${at}`, name })), next: names.length > 8 ? "r-7" : null };
    if (path === "/silos") return { items: ["heart-house"].filter((name) => name.includes(text)).map((name) => ({ name })), next: null };
    return undefined;
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <MemoryRouter>
            <Keys places={[{ to: "/people", label: "People" }]} />
            <Where />
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return asked;
}

it("the coordinator looks for a part of a name; one goes there by arrows and Enter", async () => {
  const asked = palette(["run.read", "silo.read"]);
  fireEvent.click(await screen.findByRole("button", { name: /Go to/ }));
  const field = await screen.findByRole("combobox", { name: "What to go to" });
  fireEvent.change(field, { target: { value: "heart" } });
  await screen.findByRole("option", { name: /^All runs with “heart”/ });
  expect(screen.getAllByRole("option", { name: /run$/ })).toHaveLength(9);
  fireEvent.change(field, { target: { value: "silo heart" } });
  await waitFor(() => expect(screen.getAllByRole("option").map((one) => one.textContent)).toEqual(["heart-housesilo"]));
  fireEvent.keyDown(field, { key: "Enter" });
  await waitFor(() => expect(screen.getByTestId("where").textContent).toBe("/silos/heart-house"));
  expect(asked).toContain("/runs heart");
  expect(asked.filter((one) => one.startsWith("/apps"))).toEqual([]); // not without the right
});

it("Enter waits for the list of what was typed, however fast one types", async () => {
  palette(["run.read"]);
  fireEvent.click(await screen.findByRole("button", { name: /Go to/ }));
  const field = await screen.findByRole("combobox", { name: "What to go to" });
  fireEvent.change(field, { target: { value: "heart 7" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(screen.getByTestId("where").textContent).toBe("/");
  await waitFor(() => expect(screen.getByTestId("where").textContent).toBe("/runs/r-0"));
});
