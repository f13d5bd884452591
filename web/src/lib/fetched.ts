/** How does a file of the console come, when the coordinator is away, or serves another console by now? */
const PAUSE_MS = 1_000;
const AGAIN_AFTER_MS = 60_000;
const RELOADED = "septum-reloaded-at";

/** What `fetching` gives, once it can: while the coordinator is away it is asked for again and again.
 *
 * A coordinator that answers and has no such file was upgraded, and some browsers never ask again for a file that once did not come: then the page is
 * loaded anew. Rejects where that has not helped. */
export async function fetched<T>(fetching: () => Promise<T>, reload: () => void = () => window.location.reload()): Promise<T> {
  for (;;) {
    const first = await tried(fetching);
    if (first.came) return first.file;
    if (await coordinatorAnswers()) {
      const again = await tried(fetching); // it may have come back between the two
      if (again.came) return again.file;
      if (Date.now() - Number(sessionStorage.getItem(RELOADED) ?? 0) < AGAIN_AFTER_MS) throw again.error;
      sessionStorage.setItem(RELOADED, String(Date.now()));
      reload();
      return new Promise(() => undefined); // the page goes
    }
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

type Tried<T> = { came: true; file: T } | { came: false; error: unknown };

async function tried<T>(fetching: () => Promise<T>): Promise<Tried<T>> {
  try {
    return { came: true, file: await fetching() };
  } catch (error) {
    return { came: false, error };
  }
}

async function coordinatorAnswers(): Promise<boolean> {
  try {
    return (await fetch("/api/v1/health", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
