/** Does an audit log hold, and what is it as a file? The same steps as in septum/protocol/audit.py and audit_file.py. */
import type { Schemas } from "../api/client";

export type Signed = Schemas["SignedHead"];
export type Witness = Schemas["Countersignature"];
export type Entry = Schemas["AuditLine"];

/** All of a log. Heads are read before the events: so no head is of more events than there are. */
export type AuditLog = { heads: readonly Signed[]; entries: AsyncIterable<Entry>; witnesses: () => Promise<readonly Witness[]> };

/** What holds. `signatures`: whether this browser could check them; `silos`: up to which event each has countersigned. */
export type Held = { events: number; heads: number; newest: Signed | null; silos: ReadonlyMap<string, number>; signatures: boolean };

/** The first thing in a log that is not as it was. */
export class Changed extends Error {}

const HEAD = "septum-audit-head-v1\0";
const WITNESS = "septum-audit-witness-v1\0";
const GENESIS = "septum-audit-v1";
const text = new TextEncoder();

/** Check each event, hash, tree head and signature. Rejects with `Changed` at the first that does not hold. */
export async function check({ heads, entries, witnesses }: AuditLog, read: (events: number) => void = () => undefined): Promise<Held> {
  const signatures = await knowsEd25519();
  const key = heads.at(-1)?.key ?? "";
  for (const signed of heads) {
    if (signed.key !== key) throw new Changed(`the head of ${signed.head.size} events is signed by ${signed.key}, and the newest by ${key}`);
    if (signatures && !(await holds(signed.key, HEAD + canonical(signed.head), signed.signature))) throw new Changed(`the signature under the head of ${signed.head.size} events does not hold`);
  }
  const bySize = new Map(heads.map((signed) => [signed.head.size, signed]));
  let [size, chain, peaks] = [0, await sha256(text.encode(GENESIS)), [] as Uint8Array[]];
  for await (const entry of entries) {
    const event = text.encode(entry.event);
    chain = await sha256(chain, event);
    const number = size + 1;
    if (!entry.event.endsWith(`,"seq":${number}}`)) throw new Changed(`audit event ${number} does not hold: another one stands in its place`);
    if (hex(chain) !== entry.hash) throw new Changed(`audit event ${number} does not hold: its hash is not that of the events up to it`);
    peaks = await grown(peaks, size, await sha256(Uint8Array.of(0), event));
    size = number;
    const head = bySize.get(size)?.head;
    if (head && (head.chain !== entry.hash || head.root !== hex(await rootOf(peaks)))) throw new Changed(`the head that was signed over ${size} events is not that of the events here`);
    if (size % 1000 === 0) read(size);
  }
  const newest = heads.at(-1) ?? null;
  if (newest && newest.head.size > size) throw new Changed(`the log ends with event ${size}, and a head of ${newest.head.size} events was signed: the end is missing`);
  const silos = new Map<string, number>();
  for (const one of await witnesses()) {
    const head = bySize.get(one.size)?.head;
    if (!head) continue; // of a head that was signed since
    if (signatures && !(await holds(one.key, WITNESS + canonical(head), one.signature))) throw new Changed(`what silo ${one.silo} signed is not the head of ${one.size} events`);
    silos.set(one.silo, Math.max(one.size, silos.get(one.silo) ?? 0));
  }
  return { events: size, heads: heads.length, newest, silos, signatures };
}

/** The lines of a file that `septum audit verify FILE` reads, each with its end. */
export async function* written({ heads, entries, witnesses }: AuditLog): AsyncGenerator<string> {
  yield `${canonical({ "septum-audit": 1, name: "coordinator", key: heads.at(-1)?.key ?? "" })}\n`;
  for (const head of heads) yield `${canonical({ head })}\n`;
  let events = 0;
  for await (const { event, hash } of entries) {
    events += 1;
    yield `{"event":${event},"hash":"${hash}"}\n`; // to the byte as it is hashed
  }
  const sizes = new Set(heads.map((signed) => signed.head.size));
  const signed = (await witnesses()).filter((one) => sizes.has(one.size));
  for (const countersignature of signed) yield `${canonical({ countersignature })}\n`;
  yield `${canonical({ end: { events, heads: heads.length, countersignatures: signed.length } })}\n`;
}

/** JSON as it is signed: sorted keys, no spaces, ASCII. */
export function canonical(value: unknown): string {
  const sorted = (_: string, one: unknown): unknown =>
    typeof one === "object" && one !== null && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one;
  return JSON.stringify(value, sorted).replace(/[\u007f-\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The peaks of a tree of `size` leaves with one more: RFC 6962, section 2.1, leaf by leaf. */
async function grown(peaks: readonly Uint8Array[], size: number, leaf: Uint8Array): Promise<Uint8Array[]> {
  const left = [...peaks];
  let node = leaf;
  for (let rest = size; rest % 2 === 1; rest = Math.floor(rest / 2)) node = await joined(left.pop() as Uint8Array, node);
  return [...left, node];
}

async function rootOf(peaks: readonly Uint8Array[]): Promise<Uint8Array> {
  let root = peaks.at(-1) as Uint8Array;
  for (const peak of [...peaks].reverse().slice(1)) root = await joined(peak, root);
  return root;
}

const joined = (left: Uint8Array, right: Uint8Array): Promise<Uint8Array> => sha256(Uint8Array.of(1), left, right);

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

const hex = (data: Uint8Array): string => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The bytes of hex digits; null where they are none. */
function bytesOf(digits: string): Uint8Array<ArrayBuffer> | null {
  return /^(?:[0-9a-f]{2})+$/.test(digits) ? Uint8Array.from(digits.match(/../g) ?? [], (two) => parseInt(two, 16)) : null;
}

/** Whether a signature holds; `key` is ed25519: and 64 hex digits. */
async function holds(key: string, message: string, signature: string): Promise<boolean> {
  const [open, signed] = [bytesOf(key.replace(/^ed25519:/, "")), bytesOf(signature)];
  if (open?.length !== 32 || signed?.length !== 64) return false;
  const known = await crypto.subtle.importKey("raw", open, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", known, signed, text.encode(message));
}

/** Whether this browser can check Ed25519: Chrome from 137, Firefox from 129, Safari from 17. */
async function knowsEd25519(): Promise<boolean> {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") return false;
    throw error;
  }
}
