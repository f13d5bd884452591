/** How many streams may the tabs of one browser hold? It opens six connections to a host, for all of its tabs together. */

const SLOTS = 4; // two connections are left for questions

/**
 * A place for one stream, which is given back by calling what is returned; null while other tabs hold all of them.
 *
 * Tabs agree by locks of the browser (Web Locks), which are given back when a tab ends in whatever way. Where there are
 * none, over plain HTTP to another machine, nothing is counted.
 */
export async function slot(): Promise<(() => void) | null> {
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return () => undefined;
  for (let number = 0; number < SLOTS; number += 1) {
    const given = await taken(locks, `septum-stream-${number}`);
    if (given) return given;
  }
  return null;
}

/** The lock of this name if nobody has it, held until what is returned is called. */
function taken(locks: LockManager, name: string): Promise<(() => void) | null> {
  return new Promise((found, failed) => {
    const held = locks.request(name, { ifAvailable: true }, (lock) =>
      lock ? new Promise<void>((giveBack) => found(giveBack)) : found(null),
    );
    held.catch(failed);
  });
}
