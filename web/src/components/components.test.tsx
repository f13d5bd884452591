import { fireEvent, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import { ApiError, failure, whenSignedOut } from "../api/client";
import { HyperInput } from "../pages/NewRun";
import { RunsTable } from "../pages/RunsTable";
import { shown } from "../test/shown";
import { Empty, Failure } from "./Bits";

afterEach(() => whenSignedOut(() => undefined));

it("a failure says what happened and what to do next", () => {
  shown(<Failure error={new ApiError(409, "conflict", "the name is taken", "septum silo list")} />);
  expect(screen.getByRole("alert").textContent).toContain("the name is taken");
  expect(screen.getByText("septum silo list")).toBeTruthy();
});

it("a coordinator that is away is not called an error of the person's", () => {
  shown(<Failure error={new TypeError("Failed to fetch")} />);
  expect(screen.getByRole("alert").textContent).toContain("asked again by itself");
});

it("an empty page has the command for the same thing", () => {
  shown(<Empty title="No silo yet" command="septum silo invite st-marys">Why.</Empty>);
  expect(screen.getByText("septum silo invite st-marys")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Copy" })).toBeTruthy();
});

it("errors are read in both shapes, and an ended session is noticed", () => {
  const ended = vi.fn();
  whenSignedOut(ended);
  expect(failure(404, { error: { code: "not_found", message: "no", hint: "look" } })).toMatchObject({ code: "not_found", message: "no", hint: "look" });
  expect(failure(404, { type: "about:blank", title: "Not found", detail: "no such run", code: "not_found" })).toMatchObject({ code: "not_found", message: "no such run" });
  expect(failure(500, null).message).toContain("500");
  expect(ended).not.toHaveBeenCalled();
  failure(401, { error: { code: "second_factor", message: "code", hint: "" } });
  expect(ended).not.toHaveBeenCalled();
  failure(401, { error: { code: "auth", message: "ended", hint: "" } });
  expect(ended).toHaveBeenCalledOnce();
});

it("a hyper-parameter is a field with its own words, and says what is wrong", () => {
  const set = vi.fn();
  shown(<HyperInput name="rounds" field={{ type: "integer", minimum: 1, maximum: 9, description: "how often" }} value={12} set={set} />);
  expect(screen.getByText("how often")).toBeTruthy();
  expect(screen.getByText("At most 9")).toBeTruthy();
  fireEvent.change(screen.getByLabelText("rounds"), { target: { value: "7" } });
  expect(set).toHaveBeenLastCalledWith(7);
});

it("a switch stands for a hyper-parameter that is true or false", () => {
  const set = vi.fn();
  shown(<HyperInput name="augment" field={{ type: "boolean", default: false }} value={false} set={set} />);
  fireEvent.click(screen.getByRole("switch"));
  expect(set).toHaveBeenLastCalledWith(true);
});

it("a run in a list leads to its page, with its rounds told to who does not see the bar", () => {
  const run = { id: "r-1", name: "heart", app: { name: "heart", version: "1.0.0", digest: "" }, status: "training", finished_rounds: 3, rounds: 10, round: 4, silos: [], metrics: null, created_at: 0 };
  shown(<RunsTable runs={[run as never]} />);
  expect(screen.getByRole("link", { name: "heart" }).getAttribute("href")).toBe("/runs/r-1");
  expect(screen.getByRole("progressbar", { name: "3 of 10 rounds" })).toBeTruthy();
});

it("how long a run took stands in the list once it has ended", () => {
  const run = { id: "r-1", name: "heart", app: { name: "heart", version: "1.0.0", digest: "" }, finished_rounds: 3, rounds: 3, silos: [], metrics: null, created_at: 100 };
  shown(<RunsTable runs={[{ ...run, status: "finished", ended_at: 130 }, { ...run, id: "r-2", status: "training", ended_at: null }] as never} />);
  const [, one, other] = screen.getAllByRole("row").map((row) => [...row.querySelectorAll("td")].at(-1)?.textContent);
  expect([one, other]).toEqual(["30 s", "–"]);
});

it("a question in a list of runs leads to its answer, has no rounds and is not compared", () => {
  const run = { id: "r-2", name: "statistics of heart", app: { name: "heart", version: "1.0.0", digest: "" }, status: "finished", asks: true, finished_rounds: 0, rounds: 1, silos: [], metrics: null, created_at: 0 };
  shown(<RunsTable runs={[run as never]} chosen={[]} choose={() => undefined} />);
  expect(screen.getByRole("link", { name: "statistics of heart" }).getAttribute("href")).toBe("/statistics/r-2");
  expect([screen.queryByRole("progressbar"), screen.queryByRole("checkbox")]).toEqual([null, null]);
});
