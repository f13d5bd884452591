/** How does a run stand after what its journal tells? Worked out here, so that a thousand rounds are not a thousand questions. */
import type { Fact } from "../api/journal";
import type { Run } from "../api/queries";

const OPENED: Partial<Record<string, Run["status"]>> = { train: "training", evaluate: "evaluating" };

/** The run after these facts, in their order; null where one says too little, so that the run has to be asked for. What it knows already changes nothing. */
export function advanced(run: Run, facts: readonly Fact[]): Run | null {
  let now: Run | null = run;
  for (const fact of facts) now = now && after(now, fact);
  return now;
}

function after(run: Run, fact: Fact): Run | null {
  switch (fact.kind) {
    case "stage_opened": {
      const status = OPENED[fact.stage];
      if (!status) return null;
      if (fact.round < run.round || (fact.round === run.round && fact.attempt < run.attempt)) return run;
      return { ...run, status, round: fact.round, attempt: fact.attempt, silos: run.silos.map((silo) => ({ ...silo, awaited: fact.cohort.includes(silo.name) })) };
    }
    case "silo_reported":
      if (fact.round !== run.round || fact.attempt !== run.attempt) return run;
      return { ...run, silos: run.silos.map((silo) => (silo.name === fact.silo ? { ...silo, awaited: false, problem: "" } : silo)) };
    case "stage_closed":
      if (fact.round !== run.round || fact.attempt !== run.attempt) return run;
      return { ...run, silos: run.silos.map((silo) => ({ ...silo, awaited: false })) };
    case "model_made":
      return fact.round < run.finished_rounds ? run : { ...run, finished_rounds: fact.round, model: fact.model.digest };
    case "model_measured":
      return fact.votes ? null : { ...run, metrics: fact.metrics };
    case "silo_models_kept":
      return run;
    default:
      return null;
  }
}
