/** Does the coordinator answer? One state for the whole page, and one question at a time until it does again. */

type State = { up: boolean; since: number };

const AGAIN_MS = 1500;

class Connection {
  private state: State = { up: true, since: Date.now() };
  private readonly listeners = new Set<() => void>();
  private asking = false;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly get = (): State => this.state;

  /** A request did not reach it. */
  lost(): void {
    if (this.state.up) this.set({ up: false, since: Date.now() });
    if (!this.asking) void this.ask();
  }

  /** It answered. */
  found(): void {
    if (!this.state.up) this.set({ up: true, since: Date.now() });
  }

  private async ask(): Promise<void> {
    this.asking = true;
    while (!this.state.up) {
      await new Promise((done) => setTimeout(done, AGAIN_MS));
      try {
        const answer = await fetch("/api/v1/health", { cache: "no-store" });
        if (answer.ok) this.found();
      } catch {
        // not yet
      }
    }
    this.asking = false;
  }

  private set(state: State): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}

export const connection = new Connection();
