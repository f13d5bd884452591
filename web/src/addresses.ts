/** Which page stands at which address, in which file, and what does it ask first? A small table: it is read before the program is there. */
import type { PARTS, TABS } from "./pages";

type Words = Readonly<Record<string, string>>; // of an address, by their names in the path
type Page = { path: string; file: keyof typeof PARTS; asks?: (words: Words) => string[]; more?: (words: Words) => keyof typeof TABS | undefined };

const TAB_FILES: Readonly<Record<string, keyof typeof TABS>> = {
  models: "pages/run/Models.tsx",
  timeline: "pages/run/Timeline.tsx",
  logs: "pages/run/Logs.tsx",
  system: "pages/run/System.tsx",
  privacy: "pages/run/Privacy.tsx",
  settings: "pages/run/Settings.tsx",
};

/** The first that fits is the one. */
export const PAGES: readonly Page[] = [
  { path: "", file: "pages/Home.tsx" },
  { path: "runs", file: "pages/Runs.tsx", asks: () => ["/api/v1/runs?limit=25&after=&project=&app=&q=&asks=false"] },
  { path: "runs/new", file: "pages/NewRun.tsx" },
  { path: "runs/compare", file: "pages/Compare.tsx" },
  {
    path: "runs/:id/:tab?",
    file: "pages/run/Run.tsx",
    asks: ({ id }) => [`/api/v1/runs/${id}`, `/api/v1/runs/${id}/journal?after=0&limit=1000`],
    more: ({ tab }) => TAB_FILES[tab ?? ""],
  },
  { path: "models", file: "pages/Models.tsx" },
  { path: "models/:name/:version", file: "pages/Version.tsx" },
  { path: "statistics", file: "pages/Statistics.tsx" },
  { path: "statistics/new", file: "pages/Ask.tsx" },
  { path: "statistics/:id", file: "pages/Question.tsx" },
  { path: "silos", file: "pages/Silos.tsx" },
  { path: "silos/:name", file: "pages/Silo.tsx" },
  { path: "projects", file: "pages/Projects.tsx" },
  { path: "apps", file: "pages/Apps.tsx" },
  { path: "apps/:digest", file: "pages/App.tsx" },
  { path: "roster", file: "pages/Roster.tsx" },
  { path: "activity", file: "pages/Activity.tsx" },
  { path: "audit", file: "pages/Audit.tsx" },
  { path: "people", file: "pages/People.tsx" },
  { path: "account", file: "pages/Account.tsx" },
  { path: "invitation", file: "pages/Home.tsx" },
];

const SESSION = "/api/v1/session";

/** The files that an address needs, and what it asks first. With a query a page asks for something else. */
export function needs(path: string, query = ""): { files: readonly string[]; asks: readonly string[] } {
  const given = path.split("/").filter(Boolean);
  for (const page of PAGES) {
    const words = wordsOf(page.path.split("/").filter(Boolean), given);
    if (!words) continue;
    const more = page.more?.(words);
    return { files: [page.file, ...(more ? [more] : [])], asks: [SESSION, ...(query ? [] : (page.asks?.(words) ?? []))] };
  }
  return { files: [], asks: [SESSION] };
}

function wordsOf(wanted: readonly string[], given: readonly string[]): Words | undefined {
  if (given.length > wanted.length) return undefined;
  const words: Record<string, string> = {};
  for (const [at, name] of wanted.entries()) {
    const word = given[at];
    if (word === undefined && !name.endsWith("?")) return undefined;
    if (!name.startsWith(":") && name !== word) return undefined;
    if (word !== undefined) words[name.replace(/[:?]/g, "")] = word;
  }
  return words;
}
