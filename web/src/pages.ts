/** What is shown at each address? Every page in a file of its own, which comes when it is needed. */
import type { FunctionComponent } from "react";
import { needs } from "./addresses";
import { fetched } from "./lib/fetched";

/** A component in a file of its own. `here` once that has come. */
export type Part<P> = { load: () => Promise<FunctionComponent<P>>; here: FunctionComponent<P> | undefined };

function part<P>(fetching: () => Promise<FunctionComponent<P>>): Part<P> {
  const made: Part<P> = { load: async () => (made.here ??= await fetched(fetching)), here: undefined };
  return made;
}

/** By their files, as addresses name them. */
export const PARTS = {
  "pages/Home.tsx": part(() => import("./pages/Home").then((file) => file.Home)),
  "pages/Runs.tsx": part(() => import("./pages/Runs").then((file) => file.Runs)),
  "pages/NewRun.tsx": part(() => import("./pages/NewRun").then((file) => file.NewRun)),
  "pages/Compare.tsx": part(() => import("./pages/Compare").then((file) => file.Compare)),
  "pages/run/Run.tsx": part(() => import("./pages/run/Run").then((file) => file.RunPage)),
  "pages/Models.tsx": part(() => import("./pages/Models").then((file) => file.Models)),
  "pages/Version.tsx": part(() => import("./pages/Version").then((file) => file.VersionPage)),
  "pages/Statistics.tsx": part(() => import("./pages/Statistics").then((file) => file.Statistics)),
  "pages/Ask.tsx": part(() => import("./pages/Ask").then((file) => file.Ask)),
  "pages/Question.tsx": part(() => import("./pages/Question").then((file) => file.QuestionPage)),
  "pages/Silos.tsx": part(() => import("./pages/Silos").then((file) => file.Silos)),
  "pages/Silo.tsx": part(() => import("./pages/Silo").then((file) => file.SiloPage)),
  "pages/Projects.tsx": part(() => import("./pages/Projects").then((file) => file.Projects)),
  "pages/Apps.tsx": part(() => import("./pages/Apps").then((file) => file.Apps)),
  "pages/App.tsx": part(() => import("./pages/App").then((file) => file.AppPage)),
  "pages/Roster.tsx": part(() => import("./pages/Roster").then((file) => file.RosterPage)),
  "pages/Activity.tsx": part(() => import("./pages/Activity").then((file) => file.Activity)),
  "pages/Audit.tsx": part(() => import("./pages/Audit").then((file) => file.Audit)),
  "pages/People.tsx": part(() => import("./pages/People").then((file) => file.People)),
  "pages/Account.tsx": part(() => import("./pages/Account").then((file) => file.Account)),
};

/** In place of every page, for who is not signed in. */
export const SIGN_IN = part(() => import("./pages/SignIn").then((file) => file.SignIn));

/** The tabs of a run's page, but for the overview, which most people look at: it comes with the page. */
export const TABS = {
  "pages/run/Models.tsx": part(() => import("./pages/run/Models").then((file) => file.Models)),
  "pages/run/Timeline.tsx": part(() => import("./pages/run/Timeline").then((file) => file.Timeline)),
  "pages/run/Logs.tsx": part(() => import("./pages/run/Logs").then((file) => file.Logs)),
  "pages/run/System.tsx": part(() => import("./pages/run/System").then((file) => file.System)),
  "pages/run/Privacy.tsx": part(() => import("./pages/run/Privacy").then((file) => file.Privacy)),
  "pages/run/Settings.tsx": part(() => import("./pages/run/Settings").then((file) => file.Settings)),
};

/** Fetch what this address shows. */
export async function fetchParts(path: string): Promise<void> {
  const known: Record<string, { load: () => Promise<unknown> }> = { ...PARTS, ...TABS };
  await Promise.all(needs(path).files.map((file) => known[file]?.load()));
}
