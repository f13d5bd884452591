/** What of a run's time is shown? Lanes of spans, the part of the time that is zoomed to, what is slow or failed first. */
import type { Schemas } from "../api/client";

export type Attempt = Schemas["AttemptLine"];
export type Span = Schemas["Span"];
export type Doing = Schemas["Doing"];

export const COORDINATOR = "coordinator";

/** Unix seconds. */
export type Part = readonly [from: number, to: number];
export type Bar = { lane: string; span: Span; attempt: Attempt; problem: string; slow: boolean };

const LEAST_S = 0.02; // that is zoomed to
const end = (span: Span): number => span.start + span.duration_s;

/** All of the time that something was done in. */
export function whole(attempts: readonly Attempt[]): Part {
  const from = Math.min(...attempts.map((one) => one.start));
  const to = Math.max(...attempts.map((one) => one.start + one.duration_s));
  return [from, Math.max(to, from + LEAST_S)];
}

/** A line for the coordinator, then one for each silo: those with problems first, then the slow ones, then by all their time. */
export function lanes(attempts: readonly Attempt[]): { name: string; bars: Bar[] }[] {
  const found = new Map<string, { bars: Bar[]; problems: number; slow: number; own: number }>();
  const coordinator: Bar[] = [];
  for (const attempt of attempts) {
    for (const span of attempt.coordinator) coordinator.push({ lane: COORDINATOR, span, attempt, problem: span.problem ?? "", slow: false });
    for (const line of attempt.silos) {
      const one = found.get(line.silo) ?? { bars: [], problems: 0, slow: 0, own: 0 };
      found.set(line.silo, one);
      one.problems += line.problem ? 1 : 0;
      one.slow += line.slow ? 1 : 0;
      one.own += line.own_s ?? 0;
      for (const span of line.spans) one.bars.push({ lane: line.silo, span, attempt, problem: span.problem ?? "", slow: line.slow ?? false });
    }
  }
  const silos = [...found].sort(
    ([one, a], [other, b]) => b.problems - a.problems || b.slow - a.slow || b.own - a.own || one.localeCompare(other),
  );
  const inTime = (bars: Bar[]): Bar[] => bars.sort((one, other) => one.span.start - other.span.start);
  return [{ name: COORDINATOR, bars: inTime(coordinator) }, ...silos.map(([name, one]) => ({ name, bars: inTime(one.bars) }))];
}

/** The bars of a lane that can be seen in a part of the time, on so many pixels: of those that share one pixel, one. */
export function drawn(bars: readonly Bar[], part: Part, pixels: number): Bar[] {
  const scale = pixels / (part[1] - part[0]);
  const heavier = (one: Bar, other: Bar): boolean => (one.problem ? !other.problem || one.span.duration_s > other.span.duration_s : !other.problem && one.span.duration_s > other.span.duration_s);
  const found: Bar[] = [];
  let pixel = -1;
  for (const bar of bars) {
    if (end(bar.span) < part[0] || bar.span.start > part[1]) continue;
    const at = Math.floor((bar.span.start - part[0]) * scale);
    if (bar.span.duration_s * scale >= 1) {
      pixel = -1;
      found.push(bar);
    } else if (at !== pixel || found.length === 0) {
      pixel = at;
      found.push(bar);
    } else if (heavier(bar, found[found.length - 1] as Bar)) found[found.length - 1] = bar;
  }
  return found;
}

/** A part of the time, nearer (factor below 1) or from farther off, about a moment that stays where it is. */
export function zoomed(part: Part, all: Part, factor: number, at = (part[0] + part[1]) / 2): Part {
  const span = Math.min(Math.max((part[1] - part[0]) * factor, LEAST_S), all[1] - all[0]);
  const share = (at - part[0]) / (part[1] - part[0]);
  return within([at - share * span, at - share * span + span], all);
}

/** An earlier or a later part, by a share of what is seen. */
export const moved = (part: Part, all: Part, share: number): Part => {
  const by = share * (part[1] - part[0]);
  return within([part[0] + by, part[1] + by], all);
};

function within([from, to]: Part, all: Part): Part {
  const span = Math.min(to - from, all[1] - all[0]);
  const first = Math.min(Math.max(from, all[0]), all[1] - span);
  return [first, first + span];
}

/** Whether an attempt has something to look at: it failed, or somebody was much slower than the others. */
export const troubled = (attempt: Attempt): boolean => Boolean(attempt.problem) || attempt.silos.some((line) => line.problem || line.slow);

/** Attempts with what is under way first, then what failed, then what was slow, the longest first; then the others as they came. */
export function worstFirst(attempts: readonly Attempt[]): Attempt[] {
  const rank = (one: Attempt): number => (one.under_way ? 3 : one.problem || one.silos.some((line) => line.problem) ? 2 : troubled(one) ? 1 : 0);
  return [...attempts].sort((one, other) => rank(other) - rank(one) || (rank(one) ? other.duration_s - one.duration_s : 0));
}

/** The attempts that lie in a part of the time, at least by a moment. */
export const overlapping = (attempts: readonly Attempt[], part: Part): Attempt[] => attempts.filter((one) => one.start <= part[1] && one.start + one.duration_s >= part[0]);

/** Moments to write below an axis: round numbers of seconds since `zero`, about as many as asked for. */
export function ticks(part: Part, zero: number, about: number): number[] {
  const step = (part[1] - part[0]) / Math.max(about, 1);
  const power = 10 ** Math.floor(Math.log10(step));
  const round = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= step) ?? step;
  const found: number[] = [];
  for (let one = Math.ceil((part[0] - zero) / round); one * round <= part[1] - zero; one += 1) found.push(Number((one * round).toPrecision(12)));
  return found;
}
