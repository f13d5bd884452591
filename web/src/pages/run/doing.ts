/** What is done in a span of a run's time, in words and colours. */
import { duration } from "../../lib/format";
import type { Bar, Doing } from "../../lib/timeline";

/** Work is strong, waiting is pale. */
export const DOING: Record<Doing, { title: string; colour: string }> = {
  receive: { title: "receives the model", colour: "#4dabf7" },
  prepare: { title: "prepares its data", colour: "#9775fa" },
  train: { title: "trains", colour: "#0c8599" },
  evaluate: { title: "measures the model", colour: "#2f9e44" },
  protect: { title: "masks, adds noise, checks", colour: "#e8590c" },
  send: { title: "sends its update", colour: "#1971c2" },
  other: { title: "what it does not account for", colour: "#868e96" },
  wait: { title: "waits for others", colour: "#adb5bd" },
  unmask: { title: "takes the masks off", colour: "#f08c00" },
  aggregate: { title: "combines the updates", colour: "#d6336c" },
  pause: { title: "paused", colour: "#ffd43b" },
};

/** A span in a line: who, in which round, what, how long, and what went wrong. */
export function spoken({ lane, span, attempt, problem, slow }: Bar): string {
  const round = attempt.round ? `, round ${attempt.round}` : "";
  const again = attempt.attempt > 1 ? `, attempt ${attempt.attempt}` : "";
  return `${lane}${round}${again}: ${DOING[span.doing].title}, ${duration(span.duration_s)}${span.under_way ? " so far" : ""}${slow ? ", slower than the others" : ""}${problem ? `, ${problem}` : ""}`;
}
