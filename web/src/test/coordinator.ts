/** A coordinator that answers as a test says. Imported before the pages, since the client keeps the `fetch` that it finds. */

/** What is answered: a body, or a whole response where it is none of status 200. */
type Answers = (path: string, query: URLSearchParams) => unknown;

const net: { answers: Answers; sent: Request[] } = { answers: () => undefined, sent: [] };

globalThis.fetch = ((asked: Request | string, how?: RequestInit) => {
  const request = asked instanceof Request ? asked : new Request(new URL(asked, window.location.origin), { method: how?.method }); // jsdom's files are no bodies
  if (request.method !== "GET") net.sent.push(request.clone());
  const url = new URL(request.url);
  const answer = net.answers(url.pathname.replace("/api/v1", ""), url.searchParams);
  if (answer instanceof Response) return Promise.resolve(answer);
  const body = JSON.stringify(answer ?? { items: [], next: null });
  return Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }));
}) as typeof fetch;

/** Answer by these, an empty page where they say undefined; what is sent to change something is kept in the list. */
export function answering(answers: Answers): Request[] {
  net.answers = answers;
  net.sent = [];
  return net.sent;
}

/** What a coordinator answers that cannot do it now. */
export const unable = (detail: string): Response => new Response(JSON.stringify({ code: "unavailable", detail }), { status: 503, headers: { "content-type": "application/problem+json" } });

/** A person with these rights, as the session tells of them. */
export const person = (rights: string[], name = "bo") => ({ name, full_name: "", organisation: "", via: "", grants: [], rights, totp: false, csrf: "" });
