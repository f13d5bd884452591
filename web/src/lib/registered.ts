/** How far has a version come, who uses it, and what would a deployment change? */
import type { Schemas } from "../api/client";
import type { Deployment, Version } from "../api/registered";

export type Row = {
  silo: string;
  deployment: number;
  version: number;
  state: Schemas["DeployState"] | "silent";
  reason: string;
  current: boolean; // false: a newer deployment has taken its place, or the version was retired
  at: number;
};

/** What each silo said of each deployment, and which ones have said nothing; deployments as they come, silos by name. */
export function rows(deployments: readonly Deployment[]): Row[] {
  return deployments.flatMap(({ deployment, states = [], used_by = [] }) => {
    const said = new Map(states.map((one) => [one.silo, one]));
    return [...new Set([...said.keys(), ...used_by])].sort().map((silo) => {
      const one = said.get(silo);
      return {
        silo,
        deployment: deployment.id,
        version: deployment.version,
        state: one?.told.state ?? "silent",
        reason: one?.told.reason ?? "",
        current: used_by.includes(silo),
        at: one?.at ?? 0,
      };
    });
  });
}

/** Which version each silo is to use now. */
export function inUse(deployments: readonly Deployment[]): Map<string, number> {
  return new Map(deployments.flatMap(({ deployment, used_by = [] }) => used_by.map((silo) => [silo, deployment.version] as const)));
}

/** What a deployment of a version would change, a line for each silo. */
export function effects(version: number, silos: readonly string[], now: ReadonlyMap<string, number>): string[] {
  return [...silos].sort().map((silo) => {
    const before = now.get(silo);
    if (before === undefined) return `${silo} has no version of it, and would get version ${version}.`;
    if (before === version) return `${silo} is to use version ${version} already.`;
    return `${silo} ${before > version ? "goes back" : "goes on"} from version ${before} to version ${version}.`;
  });
}

/** Whether a deployment of a version is a rollback: some silo is to use a newer one now. */
export const goesBack = (version: number, now: ReadonlyMap<string, number>): boolean => [...now.values()].some((one) => one > version);

/** Whose approval is looked at: by name, and whether the coordinator lets people approve what they registered. */
export type Approver = { name: string; approve_own?: boolean };

/** Whether a version waits for somebody's approval: of one that they registered themselves only where that is allowed. */
export const waitsFor = (view: Version, me: Approver): boolean => view.stage === "candidate" && (me.approve_own === true || view.version.registered.by !== me.name);

/** What is promised of the records behind a model. */
export function promises(plan: Schemas["Plan"]): string {
  const masked = plan.masking ? "masked: the coordinator learnt sums alone" : "inspected: the coordinator saw each silo's update";
  if (!plan.privacy) return `${masked}; no differential privacy`;
  return `${masked}; differential privacy, epsilon at most ${plan.privacy.target_epsilon}, ${plan.privacy.strength ?? "enforced"}`;
}
