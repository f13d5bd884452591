/** How does the console ask the coordinator? By the client that its own OpenAPI document types. */
import createClient, { type Middleware } from "openapi-fetch";
import { answered } from "./ahead";
import { connection } from "./connection";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

/** An error that the coordinator answered: what happened, and what to do next. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

let csrf = "";
let onSignedOut: () => void = () => undefined;

/** Have the session's CSRF token sent with what changes something. */
export function keepCsrf(token: string): void {
  csrf = token;
}

/** What is done when a request finds that the session has ended. */
export function whenSignedOut(action: () => void): void {
  onSignedOut = action;
}

const guard: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET" && request.method !== "HEAD") request.headers.set("x-septum-csrf", csrf || "first");
    return request;
  },
};

export const api = createClient<paths>({ baseUrl: window.location.origin, fetch: answered });
api.use(guard);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer's body; raises ApiError, or the network's own error. */
export async function told<T>(asking: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await asking;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) connection.lost();
    throw error;
  }
  if (answer.response.ok) {
    connection.found();
    return answer.data as T;
  }
  throw failure(answer.response.status, answer.error);
}

/** An error's body in either shape: `{"error": {...}}`, or a problem of RFC 9457. */
export function failure(status: number, body: unknown): ApiError {
  const outer = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const inner = (typeof outer.error === "object" && outer.error !== null ? outer.error : outer) as Record<
    string,
    unknown
  >;
  const text = (name: string): string => (typeof inner[name] === "string" ? (inner[name] as string) : "");
  const error = new ApiError(
    status,
    text("code"),
    text("message") || text("detail") || text("title") || `the coordinator answered ${status}`,
    text("hint"),
  );
  if ([502, 504].includes(status)) connection.lost();
  if (status === 401 && !["second_factor", "password_change"].includes(error.code)) onSignedOut();
  return error;
}

/** Send bytes as they are, as packages are pushed. */
export async function sendBytes(method: string, path: string, body: BodyInit): Promise<unknown> {
  const response = await fetch(path, { method, body, headers: { "x-septum-csrf": csrf } });
  const text = await response.text();
  const answer: unknown = text ? JSON.parse(text) : null;
  if (!response.ok) throw failure(response.status, answer);
  return answer;
}
