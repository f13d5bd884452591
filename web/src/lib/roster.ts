/** Does the coordinator know a silo of the roster by the same key? */
import type { Silo } from "../api/queries";

export function standing(name: string, fingerprint: string, silos: readonly Silo[]): "same" | "other" | "revoked" | "absent" {
  const found = silos.find((silo) => silo.name === name);
  if (!found?.fingerprint) return "absent";
  if (found.fingerprint !== fingerprint) return "other";
  return found.status === "revoked" ? "revoked" : "same";
}
