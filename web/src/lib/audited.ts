/** How is an event of the audit log told to people, and what may one look for? */
import type { AuditEvent } from "../api/audit";
import type { Change } from "../api/feed";
import { short } from "./format";
import { happened, KINDS as TOLD, type Part } from "./happened";

/** What is recorded besides what the feed tells, as docs/reference/events.md has it. */
const SAYS: Readonly<Record<string, string>> = {
  "coordinator.opened": "A coordinator has begun to write here; in a first event `because` says why.",
  "audit.read": "Somebody has read the audit log.",
  "person.signed_in": "A person has signed in.",
  "person.sign_in_refused": "Somebody was not let in; `person` only where the name was one.",
  "access.refused": "A person or token asked for what it has no right to.",
  "access.refusals": "More was refused in a minute than is recorded one by one; `count` says how much.",
  "silo.not_known": "A request in a silo's name was refused: its signature, key, time or nonce.",
  "people.read": "Somebody has looked at people, their roles or tokens.",
  "logs.read": "Somebody has looked at what a run's processes wrote.",
  "person.signed_out": "A person has ended their session.",
  "person.password_changed": "A person has chosen another password; their sessions and tokens have ended.",
  "person.second_factor": "A person asks for a second factor from now on, or for none; `is` says which.",
  "sum.unmasked": "Silos have revealed what takes the masks off a sum of theirs; `transcript` is the SHA-256 of who took part, with which keys, and what they signed.",
  "model.made": "A round has made a model.",
  "model.downloaded": "Somebody has fetched a model.",
  "statistics.made": "Silos have answered a query over their data, all together.",
  "silo.audit_log": "A silo has told the newest event of its own audit log, by its number and hash.",
  "roster.pushed": "A roster was pushed.",
  "coordinator.restored": "Break-glass: the coordinator was put back to what a backup had.",
};

const UNRECORDED = new Set(["silo.online", "silo.offline"]); // nobody makes them: a silo's network comes and goes

/** Every kind of event that there is, noun by noun. */
export const KINDS: readonly string[] = [...Object.keys(SAYS), ...TOLD.filter((kind) => !UNRECORDED.has(kind))].sort();
export const NOUNS: readonly string[] = [...new Set(KINDS.map((kind) => kind.split(".")[0] ?? ""))];

/** An event in words. A kind that is newer than this page is told by its name. */
export function says({ kind, by = "", about = {} }: AuditEvent): Part[] {
  const known = SAYS[kind];
  if (known) return [known.replaceAll("`", "")];
  const { roles, ...rest } = about;
  const change = { ...rest, kind, by, ...(roles !== undefined && { roles: roles.split(" ").filter(Boolean) }) } as unknown as Change;
  return happened(change, new Map());
}

/** The same without links. */
export const plain = (event: AuditEvent): string => says(event).map((part) => (typeof part === "string" ? part : part.text)).join("");

/** What an event is about, as `septum audit list` has it, with enough of each digest. */
export const aboutOf = (event: AuditEvent): string =>
  Object.entries(event.about ?? {})
    .filter(([, value]) => value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${/^[a-z0-9]+:[0-9a-f]{64}$/.test(value) ? short(value) : value}`)
    .join(", ");

const BAD = new Set(["access.refused", "access.refusals", "person.sign_in_refused", "silo.not_known", "run.refused", "coordinator.restored"]);

/** Whether somebody should have a look. */
export const isBad = ({ kind, about }: AuditEvent): boolean => BAD.has(kind) || about?.outcome === "failed";
