/** Who says to have signed a package? Keys, from the file beside it; whether it is true, each silo verifies. */

/** Enough of each key to tell it from others. */
export function signers(text: string): string[] {
  if (!text) return [];
  try {
    const content: unknown = JSON.parse(text);
    if (!Array.isArray(content)) return [];
    return content.map((one: { key?: unknown }) => `key ${String(one.key ?? "").replace("ed25519:", "").slice(0, 8)}`);
  } catch {
    return [];
  }
}
