import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { shown } from "../test/shown";
import { Qr } from "./Qr";

it("a QR code is drawn in the page: three finder patterns, white around it, and another text looks different", () => {
  const { unmount } = shown(<Qr text="otpauth://totp/septum:ada?secret=ABC" label="code" />);
  const svg = screen.getByRole("img", { name: "code" });
  const side = Number(svg.getAttribute("viewBox")?.split(" ")[2]);
  const path = svg.querySelector("path")?.getAttribute("d") ?? "";
  const dark = new Set(path.match(/\d+ \d+(?=h)/g));
  expect((side - 8 - 17) % 4).toBe(0); // versions of the standard: 21, 25, 29, ... modules
  for (const [x, y] of [[4, 4], [side - 11, 4], [4, side - 11]] as const)
    for (let at = 0; at < 7; at += 1) expect([dark.has(`${x + at} ${y}`), dark.has(`${x} ${y + at}`)]).toEqual([true, true]);
  expect([...dark].every((one) => one.split(" ").every((value) => Number(value) >= 4 && Number(value) < side - 4))).toBe(true);
  unmount();
  shown(<Qr text="otpauth://totp/septum:ada?secret=ABD" label="code" />);
  expect(screen.getByRole("img").querySelector("path")?.getAttribute("d")).not.toBe(path);
});
