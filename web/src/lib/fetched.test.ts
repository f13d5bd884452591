import { beforeEach, expect, it, vi } from "vitest";
import { fetched } from "./fetched";

beforeEach(() => {
  sessionStorage.clear();
  vi.useFakeTimers({ toFake: ["setTimeout", "Date"] });
  return () => void vi.useRealTimers();
});

/** The coordinator answers, or is away, one question after the other; the last for ever. */
function coordinator(...there: boolean[]): void {
  vi.stubGlobal("fetch", async () => {
    const answers = there.length > 1 ? there.shift() : there[0];
    if (!answers) throw new TypeError("Failed to fetch");
    return new Response("{}");
  });
}

it("waits for a coordinator that is away, and loads nothing anew", async () => {
  coordinator(false, false, true);
  const reload = vi.fn();
  let tries = 0;
  const file = fetched(async () => {
    if (++tries < 4) throw new TypeError("Failed to fetch dynamically imported module");
    return "page";
  }, reload);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await file).toBe("page");
  expect(reload).not.toHaveBeenCalled();
});

it("loads the console anew where the coordinator has another one, once a minute, and then says so", async () => {
  coordinator(true);
  const reload = vi.fn();
  const gone = async (): Promise<string> => {
    throw new TypeError("Failed to fetch dynamically imported module");
  };
  void fetched(gone, reload);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reload).toHaveBeenCalledTimes(1);
  await expect(fetched(gone, reload)).rejects.toThrow("dynamically imported");
  await vi.advanceTimersByTimeAsync(60_000);
  void fetched(gone, reload);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(reload).toHaveBeenCalledTimes(2);
});
