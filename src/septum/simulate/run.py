"""What would a federation make of this app and this data? The same machines and the same training, in one process.

The simulator has no round logic: it passes messages between the run machine and one silo machine per virtual silo, and
lets the fake clock jump when everybody waits. What a silo sends is encoded and decoded as on the wire, so a simulation
gives the same model, bit for bit, as the same plan over HTTPS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from septum.adapters.launch.attested_station import AnyStation
from septum.adapters.launch.station import Made, Part, Station, Timer
from septum.errors import RunFailedError, SeptumError
from septum.plugins.strategies import strategy_for
from septum.protocol import combine, contents, masked_combine, metrics_combine, run, run_state, silo, stages, tensors
from septum.protocol.clipped import clip
from septum.protocol.facts import Fact, Metrics, ModelMeasured
from septum.protocol.masked import Beside, evaluation_sums, masked_pieces, scale_of
from septum.protocol.messages import Blob, Masked, Outcome, SiloMessage, Stage, blob_of
from septum.protocol.plan import Plan
from septum.protocol.sources import Source, layout_of, source_of
from septum.protocol.tensors import Tensors
from septum.protocol.vote import Ballot, Voter
from septum.sdk import harness
from septum.sdk.package import LoadedApp
from septum.sdk.table import read_csv
from septum.simulate import private, unmasked

RUN_ID = "simulation"


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """How a simulation ended. `metrics` are those of the last model, over all silos' test rows and silo by silo.

    own  of a run with private parameters, or one that personalises: each silo's own model, the whole file
    """

    outcome: Outcome
    reason: str
    rounds: int
    model: bytes = field(repr=False)
    model_digest: str
    metrics: Metrics | None
    silos: Mapping[str, Metrics]
    own: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def read_silos(app: LoadedApp, hyper: object, data: Mapping[str, Path]) -> dict[str, harness.Prepared]:
    """Each silo's rows, as the app splits them. Raises DataError naming the file."""
    manifest = app.manifest
    return {
        name: harness.prepare(
            app.app, hyper, read_csv(path, tuple(manifest.columns), manifest.missing, target=manifest.target)
        )
        for name, path in sorted(data.items())
    }


def simulate(
    app: LoadedApp,
    plan: Plan,
    silos: Mapping[str, harness.Prepared],
    on_fact: Callable[[Fact], None] | None = None,
) -> SimulationResult:
    """Run `plan` over virtual silos; `silos` holds the rows of each silo of the plan.

    Raises RunFailedError when the run ends without a model, with the silos' reasons.
    """
    simulation = _Simulation(app, plan, silos, on_fact)
    return simulation.play()


class _Simulation:
    """The run machine in the middle, a silo machine and a worker per silo around it, and a queue of what they say."""

    def __init__(
        self,
        app: LoadedApp,
        plan: Plan,
        prepared: Mapping[str, harness.Prepared],
        on_fact: Callable[[Fact], None] | None,
    ) -> None:
        self._on_fact = on_fact
        self._strategy = strategy_for(plan)
        self._scale = None if plan.masking is None else scale_of(plan)
        self._blobs: dict[str, bytes] = {}
        self._payloads: dict[str, bytes] = {}
        self._measured: ModelMeasured | None = None
        self._said: deque[tuple[str, SiloMessage]] = deque()
        hyper = app.app.resolve(plan.hyper)
        self._private, further = (
            ((), 0) if plan.private is None else (plan.private.parameters, plan.private.personalise)
        )
        mu = self._strategy.proximal_mu
        parts = {name: Part(name, plan.seed, mu, self._private, further) for name in plan.silos}
        self._stations: dict[str, AnyStation] = {
            name: Station(app.app, hyper, prepared[name], part)
            if plan.privacy is None
            else private.station(app, hyper, plan, prepared[name], part)
            for name, part in parts.items()
        }
        # Of a masked run: the newest stage's evaluations, which nobody else would see silo by silo.
        self._evaluations: tuple[tuple[Stage, int], dict[str, bytes]] = ((Stage.PREPARE, 0), {})
        self._voters = {} if plan.vote is None else {name: Voter(plan.vote) for name in plan.silos}
        self._states: dict[tuple[str, str], Tensors] = {}  # (silo, job) -> the app's carried state
        self._silos = {name: silo.SiloRun(RUN_ID, name, plan) for name in plan.silos}
        self._run, effects = run.create(RUN_ID, plan, now=0.0)
        self._perform(effects)

    def play(self) -> SimulationResult:
        """Let everybody do what they are asked until the run has ended."""
        for name in self._silos:
            self._silo_step(name, silo.Consented())
        while self._run.outcome is None:
            if self._said:
                name, message = self._said.popleft()
                self._run_step(run_state.FromSilo(name, message), self._run.now)
            elif not self._instruct():
                self._run_step(run_state.Tick(), self._run.deadline or self._run.now)
        return self._result()

    def _instruct(self) -> bool:
        """Tell every silo what the run's state asks of it; whether there was anything to tell."""
        asked = {name: run.instruction(self._run, name) for name in self._silos}
        told = False
        for name, instruction in asked.items():
            if instruction is not None:
                self._silo_step(name, silo.Instructed(instruction))
                told = True
        return told

    def _run_step(self, event: run_state.Event, now: float) -> None:
        self._run, effects = run.step(self._run, event, now)
        self._perform(effects)

    def _perform(self, effects: Iterable[run_state.Effect]) -> None:
        for effect in effects:
            match effect:
                case run_state.Note(fact):
                    if isinstance(fact, ModelMeasured):
                        self._took(fact)
                    if self._on_fact is not None:
                        self._on_fact(fact)
                case run_state.Discard():
                    self._payloads.clear()
                case run_state.Combine():
                    self._combine(effect)

    def _took(self, measured: ModelMeasured) -> None:
        if measured.votes is not None and measured.votes.down:  # of a model that is dropped
            self._evaluations = ((Stage.PREPARE, 0), {})
        else:
            self._measured = measured

    def _combine(self, effect: run_state.Combine) -> None:
        blobs = combine.Blobs(
            payload=lambda blob: source_of(self._payloads[blob.digest]),
            model=lambda blob: source_of(self._blobs[blob.digest]),
            optimizer=lambda blob: source_of(self._blobs[blob.digest]),
            keep_model=self._keep,
            open_optimizer=self._open_optimizer,
        )
        if metrics_combine.asked_of(self._run.plan, effect.stage):
            combined = metrics_combine.perform(effect, self._run.plan, blobs)
        elif self._scale is None:
            combined = combine.perform(effect, self._strategy, blobs)
        else:
            combined = masked_combine.perform(effect, self._strategy, blobs, self._scale, unmask=None)
        named = [combined.model, combined.optimizer, effect.base, effect.optimizer]
        before = self._run.previous  # what a vote may put back
        named += [] if before is None else [before.model, before.optimizer]
        kept = {blob.digest for blob in named if blob is not None}
        if combined.model is not None:
            self._blobs = {digest: data for digest, data in self._blobs.items() if digest in kept}
        self._run_step(combined, self._run.now)

    def _keep(self, chunks: Iterable[bytes]) -> Blob:
        data = b"".join(chunks)
        blob = blob_of(data)
        self._blobs[blob.digest] = data
        return blob

    def _open_optimizer(self) -> combine.Writer:
        chunks: list[bytes] = []
        return combine.Writer(chunks.append, lambda: self._keep(chunks))

    def _silo_step(self, name: str, event: silo.Event) -> None:
        self._silos[name], effects = silo.step(self._silos[name], event)
        for effect in effects:
            match effect:
                case silo.Send(Masked() as result):
                    self._said.append((name, self._fixed_point(name, result)))
                case silo.Send(message):
                    self._said.append((name, message))
                case silo.Exchange(asked):
                    self._said.append((name, unmasked.answer(name, asked)))
                case silo.Do(job, _, state):
                    self._silo_step(name, self._work(name, job, self._states.get((name, state), {})))
                case silo.Forget() | silo.Finish():
                    kept = silo.kept_states(self._silos[name])
                    self._states = {at: state for at, state in self._states.items() if at[0] != name or at[1] in kept}

    def _fixed_point(self, name: str, result: Masked) -> Masked:
        """The result as it would leave a silo, without masks: in one process there is nobody to hide it from."""
        held = self._silos[name].held
        assert held is not None
        assert self._scale is not None
        payload = self._payloads[result.payload.digest]
        plain = source_of(payload)
        if result.stage is not Stage.PREPARE:
            place = (result.stage, result.round)
            kept = self._evaluations[1] if self._evaluations[0] == place else {}
            self._evaluations = (place, {**kept, name: payload})
        beside = Beside(self._vote(name, result, plain), self._run.edges)
        data = b"".join(masked_pieces(result.stage, plain, held.weight, self._scale, None, beside))
        blob = blob_of(data)
        self._payloads[blob.digest] = data
        return replace(result, payload=blob.without_bytes())

    def _vote(self, name: str, result: Masked, plain: Source) -> Ballot | None:
        if result.stage is Stage.PREPARE or name not in self._voters:
            return None
        return self._voters[name].vote(result.base, stages.against(self._run), evaluation_sums(plain))

    def _work(self, name: str, job: silo.Job, state: Tensors) -> silo.Event:
        model = None if job.model is None else self._blobs[job.model.digest]
        try:
            made = _make(self._stations[name], job, model, state)
            data = tensors.encode(made.leaving)
            base = None if model is None else layout_of(source_of(model))
            combine.check(job.stage, source_of(data), base)
            contents.check_shared(layout_of(source_of(data)), base, self._private)
            if job.stage is Stage.TRAIN and self._run.plan.clip_norm is not None:
                data = clip(data, self._run.plan.clip_norm)  # where a silo's agent does it
        except SeptumError as error:
            return silo.WorkFailed(job, error.message)
        blob = blob_of(data)
        self._payloads[blob.digest] = data
        if made.state:
            self._states[name, job.name] = made.state
        return silo.Worked(job, blob, made.weight, has_state=bool(made.state))

    def _result(self) -> SimulationResult:
        ended = self._run
        if ended.outcome is not Outcome.FINISHED or ended.model is None:
            raise RunFailedError(f"the simulated run {ended.outcome and ended.outcome.value}: {ended.reason}")
        measured = self._measured
        return SimulationResult(
            outcome=ended.outcome,
            reason=ended.reason,
            rounds=ended.finished,
            model=self._blobs[ended.model.digest],
            model_digest=ended.model.digest,
            metrics=None if measured is None else measured.metrics,
            silos=self._by_silo(measured),
            own={} if ended.plan.private is None else self._own(tensors.decode(self._blobs[ended.model.digest])),
        )

    def _own(self, model: Tensors) -> Mapping[str, bytes]:
        """What each silo would keep: the model, and over it what came of the last evaluation."""
        own = {}
        for (name, job), state in sorted(self._states.items()):
            if job.startswith(Stage.EVALUATE.value):
                found = {key.removeprefix(contents.OWN): array for key, array in state.items()}
                found.pop(contents.CHOSEN, None)
                own[name] = tensors.encode({**model, **found})
        return own

    def _by_silo(self, measured: ModelMeasured | None) -> Mapping[str, Metrics]:
        """How the last model does in each silo; a simulation knows it of a masked run, too."""
        found = self._evaluations[1]
        if measured is None or measured.silos or not found or measured.metrics.noise is not None:
            return {} if measured is None else measured.silos
        evaluations = {name: combine.evaluation_in(source_of(payload)) for name, payload in sorted(found.items())}
        return combine.measured(measured.round, evaluations).silos


def _make(station: AnyStation, job: silo.Job, model: bytes | None, state: Tensors) -> Made:
    timer = Timer()
    if model is None:
        return station.prepare(timer, initial=job.initial)
    content = tensors.decode(model)
    if job.stage is Stage.EVALUATE:
        return station.evaluate(timer, content, state)
    return station.train(timer, job.round, content, state)
