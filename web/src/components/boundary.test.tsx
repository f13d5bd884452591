import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { Boundary } from "./Boundary";

function Broken(): never {
  throw new Error("no such thing");
}

it("a page that breaks says so and leaves what is around it; another place is tried again", () => {
  const said = vi.spyOn(console, "error").mockImplementation(() => undefined); // React tells of it, too
  const at = (place: string, inside: React.ReactNode) => (
    <MantineProvider env="test">
      <nav>Runs</nav>
      <Boundary at={place}>{inside}</Boundary>
    </MantineProvider>
  );
  const { rerender } = render(at("/a", <Broken />));
  expect(screen.getByRole("alert").textContent).toContain("no such thing");
  expect(screen.getByText("Runs")).toBeTruthy();
  rerender(at("/a", "whole"));
  expect(screen.queryByText("whole")).toBeNull();
  rerender(at("/b", "whole"));
  expect(screen.getByText("whole")).toBeTruthy();
  expect(screen.queryByRole("alert")).toBeNull();
  said.mockRestore();
});
