import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { expect, it, vi } from "vitest";

type Asked = { method: string; path: string; body: unknown };
const server = vi.hoisted(() => {
  const state: { tokens: object[]; asked: Asked[] } = { tokens: [], asked: [] };
  globalThis.fetch = async (input) => {
    const request = input as Request;
    const path = new URL(request.url).pathname;
    const body: unknown = request.method === "POST" ? await request.json() : null;
    state.asked.push({ method: request.method, path, body });
    if (path === "/api/v1/session") return Response.json({ name: "ada", full_name: "Ada", organisation: "default", via: "session", grants: [], rights: ["run.read", "silo.read"], totp: false, csrf: "c" });
    if (request.method === "POST") return Response.json({ token: "septum_secret", about: { id: "t1", title: "nightly", rights: ["run.read"], created_at: 1, expires_at: 2, used_at: 0 } }, { status: 201 });
    if (request.method === "DELETE") return new Response(null, { status: 204 });
    return Response.json({ items: state.tokens, next: null });
  };
  return state;
});
const { SessionProvider } = await import("../api/session"); // after fetch, which the client takes as it finds it
const { commandOf, Tokens } = await import("./Tokens");

function shown() {
  server.asked.length = 0;
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <MemoryRouter>
            <Tokens />
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

it("a token is made with a title, days and one's own rights, and its secret is shown once", async () => {
  server.tokens = [];
  shown();
  await screen.findByText("septum token create nightly --days 30");
  fireEvent.click(screen.getByRole("button", { name: "New token" }));
  const dialog = within(await screen.findByRole("dialog"));
  expect(dialog.getByRole("button", { name: "Make the token" }).hasAttribute("disabled")).toBe(true);
  fireEvent.change(dialog.getByLabelText("Title"), { target: { value: " nightly " } });
  fireEvent.change(dialog.getByLabelText("Days"), { target: { value: "30" } });
  fireEvent.click(dialog.getByRole("combobox", { name: "Rights" }));
  fireEvent.click(await screen.findByRole("option", { name: "run.read", hidden: true }));
  expect(screen.queryAllByRole("option", { hidden: true })).toHaveLength(2);
  fireEvent.click(dialog.getByRole("button", { name: "Make the token" }));
  await screen.findByText("septum_secret");
  expect(server.asked.find((one) => one.method === "POST")?.body).toEqual({ title: "nightly", days: 30, rights: ["run.read"] });
  fireEvent.click(screen.getByRole("button", { name: "I have kept it" }));
  await waitFor(() => expect(screen.queryByText("septum_secret")).toBeNull());
});

it("a token is revoked when one says so twice", async () => {
  server.tokens = [{ id: "t7", title: "nightly", rights: ["run.read"], created_at: 1, expires_at: 4e9, used_at: 0 }];
  shown();
  fireEvent.click(await screen.findByRole("button", { name: "Revoke nightly" }));
  await screen.findByText("septum token revoke t7");
  expect(server.asked.some((one) => one.method === "DELETE")).toBe(false);
  fireEvent.click(screen.getByRole("button", { name: "Revoke" }));
  await waitFor(() => expect(server.asked).toContainEqual({ method: "DELETE", path: "/api/v1/tokens/t7", body: null }));
});

it("the command beside the form makes the same", () => {
  expect(commandOf("", 90, [])).toBe("septum token create TITLE --days 90");
  expect(commandOf("at night", 30, ["run.read"])).toBe("septum token create 'at night' --days 30 --right run.read");
});
