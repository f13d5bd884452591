/** A coordinator that answers as a test says. Imported before the pages, since the client keeps the `fetch` that it finds. */

type Answers = (path: string, query: URLSearchParams) => unknown;

const net: { answers: Answers; sent: Request[] } = { answers: () => undefined, sent: [] };

globalThis.fetch = ((asked: Request | string) => {
  const request = asked instanceof Request ? asked : new Request(new URL(asked, window.location.origin));
  if (request.method !== "GET") net.sent.push(request.clone());
  const url = new URL(request.url);
  const answer = net.answers(url.pathname.replace("/api/v1", ""), url.searchParams);
  const body = JSON.stringify(answer ?? { items: [], next: null });
  return Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }));
}) as typeof fetch;

/** Answer by these, an empty page where they say undefined; what is sent to change something is kept in the list. */
export function answering(answers: Answers): Request[] {
  net.answers = answers;
  net.sent = [];
  return net.sent;
}

/** A person with these rights, as the session tells of them. */
export const person = (rights: string[], name = "bo") => ({ name, full_name: "", organisation: "", via: "", grants: [], rights, totp: false, csrf: "" });
