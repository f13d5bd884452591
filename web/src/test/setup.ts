/** What jsdom lacks of a browser: Mantine asks for the media and for sizes. */
import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

class NoObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

window.matchMedia ??= ((query: string) => ({
  matches: false,
  media: query,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
})) as unknown as typeof window.matchMedia;
globalThis.ResizeObserver ??= NoObserver as unknown as typeof ResizeObserver;
Element.prototype.scrollIntoView ??= () => undefined;
configure({ asyncUtilTimeout: 10_000 }); // where others compute, a page takes its time
afterEach(cleanup);
