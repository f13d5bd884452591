/** How is an entry of the journal told to people? One line, and whether it is bad news. */
import type { Fact } from "../api/journal";
import { duration, figure } from "./format";

export type Told = { text: string; tone: "plain" | "good" | "bad" };

const STAGES: Record<string, string> = { prepare: "preparation", train: "training", evaluate: "evaluation" };

export function words(fact: Fact): Told {
  const plain = (text: string): Told => ({ text, tone: "plain" });
  const bad = (text: string): Told => ({ text, tone: "bad" });
  switch (fact.kind) {
    case "run_created":
      return plain(`The run ${fact.name} was submitted; its silos are invited.`);
    case "silo_joined":
      return plain(`${fact.silo} takes part.`);
    case "silo_returned":
      return plain(`${fact.silo} is back.`);
    case "silo_refused":
      return bad(`${fact.silo} refuses, by its rule ${fact.rule}: ${fact.reason}`);
    case "silo_left":
      return bad(`${fact.silo} left: ${fact.reason}`);
    case "silo_reported": {
      const spent = Object.values(fact.durations_s ?? {}).reduce((sum, one) => sum + one, 0);
      const took = spent ? ` after ${duration(spent)} of work` : "";
      return plain(`${fact.silo} reported its ${STAGES[fact.stage] ?? fact.stage}${took}.`);
    }
    case "silo_failed":
      return bad(`${fact.silo} failed in ${STAGES[fact.stage] ?? fact.stage} of round ${fact.round}: ${fact.reason}`);
    case "stage_opened":
      return plain(
        fact.stage === "train"
          ? `Round ${fact.round} began${fact.attempt > 1 ? `, attempt ${fact.attempt}` : ""}: ${fact.cohort.length} silos are asked.`
          : `The ${STAGES[fact.stage] ?? fact.stage} began.`,
      );
    case "stage_closed":
      return fact.missing.length
        ? bad(`Closed without ${fact.missing.join(", ")}.`)
        : plain(`All ${fact.reported.length} reports are in.`);
    case "attempt_failed":
      return bad(`Too few reports in round ${fact.round}: ${fact.missing.join(", ")} are missing.`);
    case "combine_refused":
      return bad(`The reports of round ${fact.round} make no model: ${fact.reason}`);
    case "payloads_lost":
      return bad(`What ${fact.silos.join(", ")} had reported was lost; they are asked again.`);
    case "model_lost":
      return bad(`The model of round ${fact.round} was lost: ${fact.reason}`);
    case "model_made":
      return plain(fact.round ? `Round ${fact.round} made a model.` : "The first model is there.");
    case "silo_models_kept":
      return plain(`The model that each of ${Object.keys(fact.silos).length} silos made of round ${fact.round} is kept.`);
    case "statistics_made":
      return { text: "The statistics are there.", tone: "good" };
    case "model_measured":
      return fact.votes?.down
        ? bad(`The model of round ${fact.round} was voted down: ${fact.votes.down}`)
        : plain(`Model of round ${fact.round}: ROC-AUC ${figure(fact.metrics.roc_auc)}, log loss ${figure(fact.metrics.log_loss)}.`);
    case "run_paused":
      return bad(fact.reason ? `Paused: ${fact.reason}` : "Paused.");
    case "run_resumed":
      return plain("Work goes on.");
    case "run_queued":
      return plain(`It waits in the queue: ${fact.why || "its silos have no room for it"}.`);
    case "run_dequeued":
      return plain("It has left the queue: its silos are invited.");
    case "run_prioritised":
      return plain(`Its priority is ${fact.priority} now.`);
    case "run_ended":
      return fact.outcome === "finished"
        ? { text: "The run has finished.", tone: "good" }
        : bad(`The run ${fact.outcome}: ${fact.reason}`);
  }
}
