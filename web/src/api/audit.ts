/** What is in the coordinator's audit log: a page of it, its newest head, and all of it. */
import type { AuditLog, Signed, Witness } from "../lib/auditLog";
import { api, type Schemas, told } from "./client";
import { everything } from "./queries";

export type AuditEvent = Schemas["AuditEvent"];
export type AuditWanted = { after: string; kind: string; by: string; run: string; silo: string; since: string; until: string };

const MOST = 1000; // of a page
const LATELY = 1000; // events in which the newest head is looked for first

/** One page of events, the newest first. */
export const audited = (wanted: AuditWanted, limit: number) => told(api.GET("/api/v1/audit", { params: { query: { ...wanted, limit } } }));

/** Event `seq`; undefined where there is none. */
export async function eventOf(seq: number): Promise<AuditEvent | undefined> {
  const { items } = await told(api.GET("/api/v1/audit", { params: { query: { after: String(seq + 1), limit: 1 } } }));
  return items.find((one) => one.seq === seq);
}

const headsAfter = (first: number) => everything((after) => told(api.GET("/api/v1/audit/heads", { params: { query: { after: after || String(first), limit: MOST } } })));
const witnessesAfter = (first: number) => everything((after) => told(api.GET("/api/v1/audit/countersignatures", { params: { query: { after: after || String(first), limit: MOST } } })));

/** The newest signed head, and of how many events the newest head was that each silo has countersigned lately. */
export type Standing = { events: number; head: Signed | null; silos: ReadonlyMap<string, number> };

/** How the log stands, without reading all of it: from its newest events on, and from further back where no head is there. */
export async function standing(): Promise<Standing> {
  const { items } = await told(api.GET("/api/v1/audit", { params: { query: { limit: 1 } } }));
  const events = items[0]?.seq ?? 0;
  let [heads, from, span]: [Signed[], number, number] = [[], events, LATELY];
  while (heads.length === 0 && from > 0) {
    from = Math.max(0, events - span);
    heads = await headsAfter(from);
    span *= 10;
  }
  const silos = new Map<string, number>();
  for (const one of await witnessesAfter(from)) silos.set(one.silo, one.size); // they come by size
  return { events, head: heads.at(-1) ?? null, silos };
}

/** All of the log, from its beginning, page by page until `stop`. */
export async function all(stop: AbortSignal): Promise<AuditLog> {
  const heads = await headsAfter(0);
  async function* entries() {
    let after: string | null = "";
    while (after !== null) {
      const page: Schemas["AuditLinePage"] = await told(api.GET("/api/v1/audit/lines", { params: { query: { after, limit: MOST } } }));
      stop.throwIfAborted();
      yield* page.items;
      after = page.next;
    }
  }
  return { heads, entries: entries(), witnesses: (): Promise<readonly Witness[]> => witnessesAfter(0) };
}
