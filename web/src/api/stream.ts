/** How is a stream of server-sent events read? By fetch, which sends `Last-Event-ID` and shows the status. */
import { failure } from "./client";

export type ServerEvent = { id: string; data: string };

/** Cut what has come into events; what is not whole yet is given back. WHATWG HTML, section 9.2.6. */
export function split(text: string): { events: ServerEvent[]; rest: string } {
  const blocks = text.replace(/\r\n?/g, "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  const events: ServerEvent[] = [];
  for (const block of blocks) {
    let id = "";
    const data: string[] = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("id:")) id = line.slice(3).trimStart();
      if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
    if (data.length) events.push({ id, data: data.join("\n") });
  }
  return { events, rest };
}

/** Read the stream at `path` until it ends, from `after` on if that is not empty. Every byte counts as a sign of life, comments too. */
export async function readStream(
  path: string,
  after: string,
  signal: AbortSignal,
  take: (events: ServerEvent[]) => void,
  alive: () => void,
): Promise<void> {
  const headers = { accept: "text/event-stream", ...(after && { "last-event-id": after }) };
  const response = await fetch(path, { headers, signal, cache: "no-store" });
  if (!response.ok || !response.body) throw failure(response.status, await response.json().catch(() => null));
  alive();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const found = split(rest + value);
    rest = found.rest;
    if (found.events.length) take(found.events);
  }
}
