/** What is looked for in the list of everything that can be gone to? A part of a name, maybe after a kind. */

export const KINDS = ["page", "action", "run", "silo", "app", "model"] as const;
export type Kind = (typeof KINDS)[number];
export type Goal = { to: string; label: string; kind: Kind; more?: string };
export type Sought = { kind: Kind | ""; text: string };

/** `run heart` looks among runs alone; `heart` everywhere. */
export function sought(typed: string): Sought {
  const [first = "", ...rest] = typed.trim().split(/\s+/);
  const kind = KINDS.find((one) => one === first.toLowerCase());
  return kind && (rest.length > 0 || /\s$/.test(typed)) ? { kind, text: rest.join(" ") } : { kind: "", text: typed.trim() };
}
