/** What does an address need to know? It is asked before the program is there, which takes the answers when it asks the same. */

const FRESH_MS = 5_000; // an answer that nobody took in that time is too old

const early = new Map<string, { answer: Promise<Response>; at: number }>();

/** Ask for these paths now. */
export function askAhead(paths: readonly string[]): void {
  for (const path of paths) {
    const answer = fetch(path);
    answer.catch(() => undefined); // whoever takes it hears of it
    early.set(new URL(path, window.location.origin).href, { answer, at: performance.now() });
  }
}

/** Answer a request: with what was asked ahead, once and while it is fresh. */
export function answered(request: Request): Promise<Response> {
  const found = request.method === "GET" ? early.get(request.url) : undefined;
  if (!found) return fetch(request);
  early.delete(request.url);
  return performance.now() - found.at < FRESH_MS ? found.answer : fetch(request);
}

/** What was asked ahead was asked by somebody else: before they signed in, or out. */
export function forget(): void {
  early.clear();
}
