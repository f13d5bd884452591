import { answering, person } from "../test/coordinator";
import { QueryClient } from "@tanstack/react-query";
import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { SessionProvider } from "../api/session";
import { standing } from "../lib/roster";
import { shown } from "../test/shown";
import { RosterPage } from "./Roster";

const roster = (serial: number, more = {}) => ({
  federation: "heart",
  serial,
  digest: `sha256:${serial}`,
  previous: serial > 1 ? `sha256:${serial - 1}` : "",
  threshold: 2,
  administrators: { ann: "aaaa", ben: "bbbb", eve: "eeee" },
  silos: { north: "1111", south: "2222" },
  signed_by: ["ann", "ben"],
  signed_before: serial > 1 ? ["ann", "ben"] : [],
  changes: [`silo added: number ${serial}`],
  ...more,
});
const silo = (name: string, fingerprint: string, status = "online") => ({ name, fingerprint, status, enrolled_at: 1, seen_at: 1 });

function page(rights: string[], rosters: object[], silos: object[] = []): Request[] {
  const sent = answering((path, query) => {
    if (path === "/session") return person(rights);
    if (path === "/silos") return { items: silos, next: null };
    if (path !== "/roster/history") return undefined;
    const after = Number(query.get("after") || 99);
    const rest = rosters.filter((one) => (one as { serial: number }).serial < after);
    return { items: rest.slice(0, 2), next: rest.length > 2 ? String((rest[1] as { serial: number }).serial) : null };
  });
  shown(
    <SessionProvider>
      <RosterPage />
    </SessionProvider>,
    new QueryClient(),
  );
  return sent;
}

it("without a roster the page says how administrators make one, and has no button for whoever may not hand it in", async () => {
  page(["roster.read"], []);
  await screen.findByText("No roster was handed in yet");
  screen.getByText(/septum roster new --out r1.json/);
  expect(screen.queryByRole("button", { name: "Hand in a signed roster" })).toBeNull();
});

it("each silo's key is compared with the one that it enrolled with, and silos outside are named", async () => {
  page(["roster.read", "silo.read"], [roster(1)], [silo("north", "1111"), silo("south", "3333"), silo("west", "4444")]);
  const keys = within(await screen.findByRole("table", { name: "Silos and their keys" }));
  await keys.findAllByText("enrolled with this key"); // beside the key, or below it on a narrow screen
  keys.getAllByText("enrolled with another key");
  screen.getByText(/^west: a silo that holds to this roster does not train with it/);
  const signed = within(screen.getByRole("table", { name: "Administrators and their keys" }));
  expect(signed.getAllByRole("row").map((row) => row.textContent)).toEqual(["AdministratorThe key's fingerprint", "annaaaahas signedhas signed", "benbbbbhas signedhas signed", "eveeeeehas not signedhas not signed"]);
  expect(screen.queryByRole("table", { name: "Rosters" })).toBeNull();
  expect(standing("north", "1111", [silo("north", "1111", "revoked")] as never)).toBe("revoked");
  expect(standing("north", "1111", [])).toBe("absent");
});

it("what each roster changed is read page by page, and a newer one is handed in as a file", async () => {
  const sent = page(["roster.read", "roster.push"], [roster(3), roster(2), roster(1)]);
  const history = await screen.findByRole("table", { name: "Rosters" });
  within(history).getByText("silo added: number 2");
  fireEvent.click(screen.getByRole("button", { name: "Older ones" }));
  await within(history).findByText("silo added: number 1");
  screen.getByText("septum roster push r4.json");
  fireEvent.click(screen.getByRole("button", { name: "Hand in a signed roster" }));
  const dialog = await screen.findByRole("dialog");
  const button = within(dialog).getByRole("button", { name: "Hand it in" });
  expect(button.hasAttribute("disabled")).toBe(true);
  const input = document.querySelector<HTMLInputElement>("input[type=file]") as HTMLInputElement;
  fireEvent.change(input, { target: { files: [new File(["{}"], "r4.json", { type: "application/json" })] } });
  await within(dialog).findByText("septum roster push r4.json");
  fireEvent.click(button);
  await waitFor(() => expect(sent.map((one) => [one.method, new URL(one.url).pathname])).toEqual([["PUT", "/api/v1/roster"]]));
});
