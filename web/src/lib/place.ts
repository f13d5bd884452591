/** Where does one go on after the identity provider, which brings everybody to `/`? Where one was: the tab remembers. */
const KEY = "septum-place";

export function keepPlace(path: string): void {
  sessionStorage.setItem(KEY, path);
}

/** What was kept, once. */
export function takePlace(): string | null {
  const place = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  return place;
}

/** Why the coordinator let somebody not in whom the provider sent back, by the code of the refusal. */
export function refusal(code: string | null): string {
  if (!code) return "";
  const reasons: Record<string, string> = {
    forbidden: "The identity provider knows you, and this coordinator does not: ask for an invitation.",
    conflict: "Somebody here has your name already: ask an administrator.",
    connection: "The identity provider does not answer. Try again in a while.",
  };
  return reasons[code] ?? "The sign-in by the identity provider was refused, or took too long. Begin again.";
}
