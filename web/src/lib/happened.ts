/** How is a change in the federation told to people? One sentence, with links to what it is about. */
import type { Change } from "../api/feed";
import type { Schemas } from "../api/client";
import type { Right } from "../api/session";

export type Kind = Schemas["Kind"];
export type Link = { text: string; to: string; right: Right };
export type Part = string | Link;
type Tell = (change: Change, by: (name: "run" | "silo" | "app" | "group" | "project" | "person" | "model") => Part) => Part[];

const because = (reason: string | undefined, before = ": "): Part => (reason ? before + reason : "");
const of = (part: Part): Part[] => (part === "" ? [] : [" of ", part]);

const TELL: Record<Kind, Tell> = {
  "run.submitted": (_, the) => ["The run ", the("run"), ...of(the("app")), " was submitted."],
  "run.started": (_, the) => ["The run ", the("run"), " began."],
  "run.refused": ({ reason }, the) => [the("silo"), " refuses the run ", the("run"), because(reason, ", "), "."],
  "run.paused": ({ reason }, the) => ["The run ", the("run"), " was paused", because(reason), "."],
  "run.resumed": (_, the) => ["The run ", the("run"), " goes on."],
  "run.ended": ({ outcome, reason }, the) => ["The run ", the("run"), { finished: " has finished", stopped: " was stopped", failed: " failed" }[outcome ?? "finished"], because(reason), "."],
  "run.queued": (_, the) => ["The run ", the("run"), " waits until its silos have room for it."],
  "run.prioritised": ({ reason }, the) => ["The run ", the("run"), ` has the priority ${reason} now.`],
  "run.shredded": (_, the) => ["The models of the run ", the("run"), ", and what its silos sent, were deleted for good."],
  "model.registered": (_, the) => ["A model", ...of(the("run")), " was registered as ", the("model"), "."],
  "model.approved": (_, the) => ["The model ", the("model"), " was approved."],
  "model.deployed": (_, the) => ["Silos are to use the model ", the("model"), "."],
  "model.retired": (_, the) => ["No silo is to use the model ", the("model"), " any more."],
  "silo.invited": (_, the) => [the("silo"), " was invited."],
  "silo.enrolled": (_, the) => [the("silo"), " has enrolled."],
  "silo.online": (_, the) => [the("silo"), " is online."],
  "silo.offline": (_, the) => [the("silo"), " is offline."],
  "silo.paused": ({ reason }, the) => ["The steward of ", the("silo"), " takes no runs for now", because(reason), "."],
  "silo.resumed": (_, the) => [the("silo"), " takes runs again."],
  "silo.budget_low": ({ reason }, the) => ["In ", the("silo"), " the privacy budget is nearly spent", because(reason), "."],
  "silo.revoked": (_, the) => [the("silo"), " was revoked."],
  "app.pushed": (_, the) => ["The package ", the("app"), " was pushed."],
  "app.signed": (_, the) => ["Signatures", ...of(the("app")), " were pushed."],
  "app.removed": (_, the) => ["The package ", the("app"), " was removed."],
  "app.preset_set": ({ preset }, the) => ["The package ", the("app"), ` has the preset ${preset} now.`],
  "app.preset_removed": ({ preset }, the) => [`The preset ${preset}`, ...of(the("app")), " was taken back."],
  "group.added": (_, the) => ["The group ", the("group"), " was made."],
  "group.joined": (_, the) => [the("silo"), " was taken into the group ", the("group"), "."],
  "group.left": (_, the) => [the("silo"), " was taken out of the group ", the("group"), "."],
  "group.removed": ({ group }) => [`The group ${group} was removed.`],
  "project.added": (_, the) => ["The project ", the("project"), " was made."],
  "project.closed": (_, the) => ["The project ", the("project"), " takes no new runs."],
  "person.invited": ({ roles }, the) => [the("person"), " was invited", because(roles?.join(", "), " as "), "."],
  "person.joined": (_, the) => [the("person"), " has come in."],
  "person.reset": (_, the) => [the("person"), " was invited again; the password was forgotten."],
  "person.suspended": (_, the) => [the("person"), " was suspended."],
  "person.restored": (_, the) => [the("person"), " may come in again."],
  "person.roles": ({ roles }, the) => [the("person"), roles?.length ? ` is ${roles.join(", ")} now.` : " has no role now."],
  "organisation.added": ({ organisation }) => [`The organisation ${organisation} was added.`],
  "organisation.removed": ({ organisation }) => [`The organisation ${organisation} was removed.`],
  "token.made": (_, the) => [the("person"), " made a token for a program."],
  "token.revoked": (_, the) => [the("person"), " revoked a token."],
};

/** Every kind of change, in order. */
export const KINDS = Object.keys(TELL) as Kind[];
export const NOUNS = [...new Set(KINDS.map((kind) => kind.split(".")[0] ?? ""))];

const BAD = new Set<string>(["run.refused", "silo.offline", "silo.budget_low"]);

/** Whether somebody should have a look. */
export function isBad({ kind, outcome, by }: Change): boolean {
  return BAD.has(kind) || outcome === "failed" || (kind === "run.paused" && !by);
}

/** Where "NAME VERSION" is shown; of a name alone, where all versions are. */
function modelPage(label: string): string {
  const [, name, version] = /^(\S+) (\d+)$/.exec(label) ?? [];
  return name && version ? `/models/${name}/${version}` : "/models";
}

/** A change in words; `apps` has the digest of each NAME==VERSION. A kind that is newer than this page is told by its name. */
export function happened(change: Change, apps: ReadonlyMap<string, string>): Part[] {
  const where: Record<string, [string, Right] | undefined> = {
    run: [`/runs/${change.run}`, "run.read"],
    silo: [`/silos/${change.silo}`, "silo.read"],
    app: apps.has(change.app ?? "") ? [`/apps/${apps.get(change.app ?? "")}`, "app.read"] : undefined,
    model: [modelPage(change.model ?? ""), "model.read"],
    group: ["/projects?tab=groups", "group.read"],
    project: [`/runs?project=${encodeURIComponent(change.project ?? "")}`, "run.read"],
    person: ["/people", "user.read"],
  };
  const tell = TELL[change.kind] as Tell | undefined;
  if (!tell) return [change.kind];
  return tell(change, (name) => {
    const [text, at] = [change[name] ?? "", where[name]];
    return text && at ? { text, to: at[0], right: at[1] } : text;
  }).filter((part) => part !== "");
}
