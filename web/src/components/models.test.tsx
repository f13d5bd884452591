import { answering, person } from "../test/coordinator";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { MemoryRouter, Route, Routes } from "react-router";
import { SessionProvider } from "../api/session";
import { Own } from "../pages/run/Own";
import { VersionPage } from "../pages/Version";
import { shown } from "../test/shown";

const plan = { name: "first", rounds: 5, silos: ["a", "b"], app: { name: "heart", version: "1.0.0", digest: "blake3:0" }, hyper: {} };
const version = (stage: string, approved = false) => ({
  stage,
  used_by: [],
  version: { name: "heart", version: 1, run: "r-1", round: 5, model: { digest: "blake3:1", size_bytes: 9 }, plan, reported: ["a", "b"], metrics: null, project: "", registered: { by: "ada", at: 1 }, ...(approved ? { approved: { by: "bo", at: 2 } } : {}) },
});

/** The page of heart 1, as somebody with these rights sees it; what was sent to change something is kept. */
function page(rights: string[], view: object, me = "bo", at = "/models/heart/1", own = false): Request[] {
  const sent = answering((path) => {
    if (path === "/session") return { ...person(rights, me), approve_own: own };
    if (path.startsWith("/models/versions/heart/1")) return view;
    return path === "/silos" ? { items: [{ name: "a", status: "online", enrolled_at: 1, seen_at: 1 }], next: null } : undefined;
  });
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <SessionProvider>
          <MemoryRouter initialEntries={[at]}>
            <Routes>
              <Route path="/models/:name/:version" element={<VersionPage />} />
            </Routes>
          </MemoryRouter>
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>,
  );
  return sent;
}

it("a candidate is approved by somebody else, after a word on what that means", async () => {
  const sent = page(["model.read", "model.approve"], version("candidate"));
  fireEvent.click(await screen.findByRole("button", { name: "Approve" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("no silo gets it by that alone");
  expect(sent).toEqual([]);
  fireEvent.click([...dialog.querySelectorAll("button")].find((one) => one.textContent === "Approve") as HTMLElement);
  await waitFor(() => expect(sent.map((one) => new URL(one.url).pathname)).toEqual(["/api/v1/models/versions/heart/1/approve"]));
});

it("whoever registered it is shown no button that would be refused, also not by its address", async () => {
  page(["model.read", "model.approve", "model.deploy"], version("candidate"), "ada", "/models/heart/1?do=approve");
  expect((await screen.findAllByText("It waits for approval")).length).toBe(1);
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(screen.queryByRole("button", { name: "Approve" })).toBeNull();
  expect(screen.queryByRole("button", { name: "Deploy" })).toBeNull();
});

it("where people may approve what they registered, whoever registered it has the button", async () => {
  page(["model.read", "model.approve"], version("candidate"), "ada", "/models/heart/1", true);
  await screen.findByRole("button", { name: "Approve" });
  expect(screen.queryByText("It waits for approval")).toBeNull();
});

it("who may only read is shown no action", async () => {
  page(["model.read"], version("approved", true));
  await screen.findByText("Where it comes from");
  for (const name of ["Approve", "Deploy", "Retire", "Download"]) expect(screen.queryByRole("button", { name })).toBeNull();
});

it("a deployment says what it changes in each silo before it is made", async () => {
  const sent = page(["model.read", "model.deploy", "silo.read"], version("approved", true), "bo", "/models/heart/1?do=deploy");
  const silos = await screen.findByLabelText("Silos", { selector: "input:not([type=hidden])" });
  fireEvent.click(silos);
  fireEvent.click(await screen.findByRole("option", { name: "a", hidden: true }));
  expect(await screen.findByText("a has no version of it, and would get version 1.")).toBeTruthy();
  expect(screen.getByText("septum model deploy heart 1 --silo a")).toBeTruthy();
  const dialog = screen.getByRole("dialog");
  fireEvent.click([...dialog.querySelectorAll("button")].find((one) => one.textContent === "Deploy") as HTMLElement);
  await waitFor(() => expect(sent).toHaveLength(1));
  expect(await sent[0]?.json()).toEqual({ name: "heart", version: 1, group: "", silos: ["a"] });
});

it("a masked run's silos have a row each that says that their model never left them", () => {
  shown(<Own run={{ masked: true, silos: [{ name: "a" }, { name: "b" }] } as never} />);
  expect(screen.getAllByText("never left the silo")).toHaveLength(2);
  expect(screen.getAllByText("septum silo model list")).toHaveLength(2);
});

const kept = (silo: string, round: number) => ({ run: "r-1", round, silo, digest: `blake3:${silo}${round}`, size_bytes: 9, base: "blake3:0", update: "blake3:1", update_norm: 0.25 * round, federation: null });

/** A run of two rounds that keeps its silos' own models: b took part in the first alone. */
function keeping(rights: string[], finished_rounds = 2): void {
  answering((path, query) => {
    if (path === "/session") return person(rights);
    const silos = query.get("round") === "1" ? ["a", "b"] : ["a"];
    return path === "/runs/r-1/silo-models" ? { items: silos.map((silo) => kept(silo, Number(query.get("round")))), next: null, why: "" } : undefined;
  });
  shown(
    <SessionProvider>
      <Own run={{ id: "r-1", name: "first", masked: false, keeps_silo_models: true, finished_rounds, silos: [{ name: "a" }, { name: "b" }] } as never} />
    </SessionProvider>,
  );
}

it("where a run keeps them each silo of the round has a row with its file, for whoever may have it", async () => {
  keeping(["model.read", "model.inspect"]);
  const file = await screen.findByRole("link", { name: "Download the model of a of round 2" });
  expect(file.getAttribute("href")).toBe("/api/v1/runs/r-1/silo-models/2/a");
  expect(screen.getByText("no part in this round")).toBeTruthy();
  fireEvent.change(screen.getByLabelText("Round"), { target: { value: "1" } });
  expect(await screen.findByRole("link", { name: "Download the model of b of round 1" })).toBeTruthy();
  expect(screen.getAllByText("0.2500")).toHaveLength(2);
});

it("who may not have them sees that they are there, and no button", async () => {
  keeping(["model.read"]);
  expect(await screen.findByText("0.5000")).toBeTruthy();
  expect(screen.queryByRole("link")).toBeNull();
});

it("before the first round has ended there are none", () => {
  keeping(["model.inspect"], 0);
  expect(screen.getByText("This run keeps them; the first are there after round 1.")).toBeTruthy();
});
