"""Which histories can a run live through? Random ones, made of what silos, operators, clocks and networks do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from tests.protocol.driving import (
    OTHER_ROSTER,
    answer_of,
    blob,
    masked_plan_of,
    plan_of,
    report_of,
    result_of,
    with_ahead,
)

from septum.errors import ProtocolError
from septum.protocol.messages import (
    Await,
    Failure,
    Join,
    Keys,
    Leave,
    Masked,
    Outcome,
    Refuse,
    Report,
    Shares,
    SiloMessage,
    Stage,
)
from septum.protocol.plan import EarlyStopping, Metric, Plan
from septum.protocol.run import create, step
from septum.protocol.run_state import (
    Combine,
    CombineFailed,
    CombineRefused,
    Dequeue,
    Effect,
    Event,
    FromSilo,
    ModelLost,
    OutOfSpace,
    Pause,
    PayloadsLost,
    Requeue,
    Resume,
    Run,
    SpaceIsBack,
    Step,
    Stop,
    Tick,
)
from septum.secagg.context import threshold

SILOS = ("a", "b", "c", "d")
Moment = tuple[Event, float]
History = Sequence[Moment]
Move = tuple[str, int, float]

# What can happen next, by name. Work comes up often, so that histories reach the later rounds; ends are rare.
_USUAL = ["a stage", "a stage", "work", "work", "everyone works", "everyone joins", "combine", "combine", "await"]
_MASKED = [
    "everyone answers",
    "everyone answers",
    "everyone answers in time but one",
    "another step",
    "another attempt's step",
    "another roster",
    "wrong things ahead",
    "shares for the wrong silos",
    "the other kind of result",
    "all but the combining",
    "signed, and then lost",
    "signed, and then the model lost",
    "signed, lost, and then one is late",
]
_TROUBLE = [
    "fail",
    "leave",
    "refuse",
    "resend",
    "combine again",
    "combine fails",
    "ahead",
    "wrong base",
    "wrong plan",
    "everyone fails",
    "a stage without one",
    "a full disk",
    "no model comes of it",
    "payloads lost",
    "payloads lost while combining",
    "model lost",
    "model lost while combining",
    "no room for uploads",
    "no room for a while",
    "room again",
]
_COMMANDS = [
    "tick",
    "pause",
    "resume",
    "stop",
    "stop and resume",
    "back to the queue",
    "a pause while combining",
    "stranger",
    "early result",
]

_IN_PARTS = {
    "signed, and then lost": ("all but the combining", "payloads lost"),
    "signed, lost, and then one is late": (
        "all but the combining",
        "payloads lost",
        "everyone answers in time but one",
        "everyone works",
    ),
    "signed, and then the model lost": (
        "everyone answers in time but one",
        "all but the combining",
        "model lost",
        "everyone works",
        "combine",
        "everyone works",
    ),
    "a stage": ("everyone works", "combine"),
    "combine fails": ("everyone works", "a combination fails"),
    "a full disk": ("everyone works", "no space", "tick"),
    "no model comes of it": ("everyone works", "a combination is refused"),
    "payloads lost while combining": ("everyone works", "payloads lost"),
    "model lost while combining": ("everyone works", "model lost"),
    "no room for a while": ("no room for uploads", "tick", "work", "room again"),
    "a stage without one": ("fail", "everyone works", "combine"),
    "a pause while combining": ("everyone works", "pause", "resume"),
    "stop and resume": ("stop", "resume", "everyone joins"),
    "back to the queue": ("requeue", "dequeue", "everyone joins"),
}
_EVENTS: dict[str, Event] = {
    "tick": Tick(),
    "pause": Pause(),
    "resume": Resume(),
    "stop": Stop(),
    "requeue": Requeue(1_800_000_000.25, "nobody may drive it"),
    "dequeue": Dequeue(),
    "no room for uploads": OutOfSpace("no space left on device"),
    "room again": SpaceIsBack(),
}
_FOR_EVERYONE = {"everyone joins": "join", "everyone answers": "work", "everyone fails": "fail"}
_WRONG = {"a combination fails", "a combination is refused", "no space", "payloads lost", "model lost"}
_SECONDS = [0.0, 0.0, 1.0, 7.0, 40.0, 130.0, -5.0]

moves = st.sampled_from(
    [
        (name, number, seconds)
        for number in range(12)
        for seconds in _SECONDS
        for name in [*_USUAL, *_TROUBLE, *_USUAL, *_COMMANDS, *_MASKED]
    ]
)


@st.composite
def plans(draw: st.DrawFn, *, masked: bool | None = None) -> Plan:
    """`masked` None draws both kinds."""
    masked = draw(st.booleans()) if masked is None else masked
    silos = SILOS[: draw(st.integers(2 if masked else 1, len(SILOS)))]
    early = EarlyStopping(Metric.ACCURACY, patience=draw(st.integers(1, 2))) if draw(st.booleans()) else None
    return (masked_plan_of if masked else plan_of)(
        silos,
        rounds=draw(st.integers(1, 3)),
        quorum=draw(st.integers(threshold(len(silos)) if masked else 1, len(silos))),
        attempts=draw(st.integers(1, 3)),
        early_stopping=early,
    )


@dataclass
class World:
    """A run, and what travels around it: the messages that were ever sent and the effects that were ever due."""

    run: Run
    now: float = 0.0
    history: list[Moment] = field(default_factory=list)
    sent: list[FromSilo] = field(default_factory=list)
    combines: list[Combine] = field(default_factory=list)

    def deliver(self, event: Event) -> None:
        self.history.append((event, self.now))
        if isinstance(event, FromSilo):
            self.sent.append(event)
        try:
            self.run, effects = step(self.run, event, self.now)
        except ProtocolError:
            return
        self.combines.extend(effect for effect in effects if isinstance(effect, Combine))

    def say(self, silo: str, message: SiloMessage) -> None:
        self.deliver(FromSilo(silo, message))

    def move(self, move: Move) -> None:
        name, number, seconds = move
        self.now += seconds
        silo = self.run.plan.silos[number % len(self.run.plan.silos)]
        match name:
            case _ if name in _IN_PARTS:
                for part in _IN_PARTS[name]:
                    self.move((part, number, 0.0))
            case "everyone joins" | "everyone answers" | "everyone fails":
                for each in self.run.plan.silos:
                    self._silo_does(_FOR_EVERYONE[name], each, number)
            case "everyone works" | "all but the combining" | "everyone answers in time but one":
                self._everyone(name, silo, number)
            case _ if name in _EVENTS:
                self.deliver(_EVENTS[name])
            case "combine" | "combine again" | "early result":
                self._combine(name, number)
            case _ if name in _WRONG:
                self._goes_wrong(name, number)
            case "resend":
                for again in self.sent[len(self.sent) - 1 - number :][:1]:
                    self.deliver(again)
            case _ if name in _MASKED:
                self._masked_silo_does(name, silo, number)
            case _:
                self._silo_does(name, silo, number)

    def _everyone(self, name: str, slow: str, number: int) -> None:
        match name:
            case "everyone works":
                self._work_through(number, until=None)
            case "all but the combining":
                self._work_through(number, until=(Step.AGREE, Step.UNMASK)[number % 2])
            case _:
                for silo in self.run.plan.silos:
                    if silo != slow and silo in self.run.awaited:
                        self.say(silo, answer_of(self.run, silo))
                self.now += 25.0
                self.deliver(Tick())

    def _work_through(self, number: int, until: Step | None) -> None:
        """Everybody answers: once, or through the steps of a masked attempt, until one is open."""
        for _ in range(1 if self.run.plan.masking is None else len(Step)):
            if until is None or self.run.exchange is None or self.run.exchange.step is not until:
                self.move(("everyone answers", number, 0.0))

    def _silo_does(self, name: str, silo: str, number: int) -> None:
        stage, round_, attempt = self.run.stage or Stage.TRAIN, self.run.round, self.run.attempt
        match name:
            case "work":
                if silo in self.run.awaited:
                    said = answer_of(self.run, silo)
                    self.say(silo, with_ahead(self.run, silo, said) if number % 4 else said)
                else:
                    self.say(silo, Join(self.run.plan.digest) if number % 2 else Await())
            case "join":
                self.say(silo, Join(self.run.plan.digest))
            case "wrong plan":
                self.say(silo, Join(blob("another plan").digest))
            case "await" | "stranger":
                self.say(silo if name == "await" else "zurich", Await())
            case "leave":
                self.say(silo, Leave("maintenance"))
            case "refuse":
                self.say(silo, Refuse("apps", "not approved"))
            case "fail":
                self.say(silo, Failure(stage, round_, attempt, "the app raised"))
            case "ahead":
                report = report_of(self.run, silo)
                ahead = {"round": round_ + 1} if number % 2 else {"attempt": attempt + 1}
                self.say(silo, replace(report, **ahead))
            case "wrong base":
                self.say(silo, report_of(self.run, silo, base=blob("another model").digest))

    def _masked_silo_does(self, name: str, silo: str, number: int) -> None:
        """What only a masked run waits for; any other run gets it too."""
        match name:
            case "another step":
                self.say(silo, answer_of(self.run, silo, list(Step)[number % len(Step)]))
            case "another attempt's step":
                self.say(silo, answer_of(self.run, silo, attempt=max(1, self.run.attempt - 1 - number % 2)))
            case "another roster":
                if silo in self.run.awaited:
                    self.say(silo, answer_of(self.run, silo, Step.KEYS, roster=OTHER_ROSTER))
            case "wrong things ahead":
                self._wrong_ahead(silo, number)
            case "shares for the wrong silos":
                self.say(silo, answer_of(self.run, silo, Step.SHARES, sealed={"zurich": b"shares"}))
            case "the other kind of result":
                self.say(silo, other_kind_of(report_of(self.run, silo)))

    def _wrong_ahead(self, silo: str, number: int) -> None:
        """An answer, and with it keys or shares that are not those that were asked for."""
        said = with_ahead(self.run, silo, answer_of(self.run, silo))
        match getattr(said, "ahead", None):
            case Keys() as keys:
                wrong = (replace(keys, attempt=keys.attempt + 1), replace(keys, roster=OTHER_ROSTER))[number % 2]
                self.say(silo, replace(said, ahead=wrong))
            case Shares() as shares:
                wrong_shares = (replace(shares, round=shares.round + 1), replace(shares, sealed={}))[number % 2]
                self.say(silo, replace(said, ahead=wrong_shares))
            case _:
                self.say(silo, said)

    def _combine(self, name: str, number: int) -> None:
        """Perform the newest Combine effect, or an old one again; or bring a result that nobody asked for."""
        if name == "early result" or not self.combines:
            due = Combine(self.run.stage or Stage.TRAIN, self.run.round, self.run.attempt, None, None, {})
        else:
            due = self.combines[-1 if name != "combine again" else -1 - number % len(self.combines)]
        self.deliver(result_of(due, accuracy=number / 12))

    def _goes_wrong(self, name: str, number: int) -> None:
        """In the coordinator: of this attempt's combining, or of one before."""
        stage, round_, attempt = self.run.stage or Stage.TRAIN, self.run.round, self.run.attempt
        due = (stage, round_, attempt if number % 4 else max(1, attempt - 1))
        match name:
            case "a combination fails":
                self.deliver(CombineFailed(*due, "a bug"))
            case "no space":
                self.deliver(CombineFailed(*due, "no space left on device", retry=True))
            case "a combination is refused":
                self.deliver(CombineRefused(*due, "a sum is not finite"))
            case "payloads lost":
                silos = self.run.plan.silos
                self.deliver(PayloadsLost(*due, silos[number % len(silos) :]))
            case "model lost":
                digest = self.run.model.digest if self.run.model and number % 4 else blob("another").digest
                self.deliver(ModelLost(digest, "the file has rotted"))


@st.composite
def lives(draw: st.DrawFn, *, masked: bool | None = None) -> World:
    """A world after up to fifty moves, the first of them often the usual ones."""
    plan = draw(plans(masked=masked))
    world = World(create("run-1", plan, 0.0)[0])
    if draw(st.integers(0, 3)):
        world.move(("everyone joins", 0, 0.0))
        for _ in range(draw(st.integers(0, plan.rounds))):
            world.move(("a stage", 6, 0.0))
    for move in draw(st.lists(moves, min_size=draw(st.sampled_from([0, 12, 24])), max_size=50)):
        world.move(move)
    return world


@dataclass(frozen=True)
class Moved:
    """One step of a history: the run before and after, what it did, and whether the event was illegal."""

    event: Event
    before: Run
    after: Run
    effects: tuple[Effect, ...]
    illegal: bool


def play(plan: Plan, history: History) -> list[Moved]:
    """Live a history through from the start."""
    run, _ = create("run-1", plan, 0.0)
    moved: list[Moved] = []
    for event, now in history:
        before = run
        try:
            run, effects = step(run, event, now)
            moved.append(Moved(event, before, run, effects, illegal=False))
        except ProtocolError:
            moved.append(Moved(event, before, run, (), illegal=True))
    return moved


def effects_of(moved: Sequence[Moved]) -> list[Effect]:
    return [effect for each in moved for effect in each.effects]


def other_kind_of(result: Report | Masked) -> Report | Masked:
    """A plain result as a masked one, or the reverse."""
    where = (result.stage, result.round, result.attempt, result.base, result.payload)
    return Masked(*where) if isinstance(result, Report) else Report(*where, weight=10)


def serve(world: World, silos: Sequence[str]) -> None:
    """These silos do what they are asked, and everything due is combined."""
    for silo in silos:
        if world.run.outcome is None and not world.run.combining:
            if silo in world.run.awaited:
                world.say(silo, with_ahead(world.run, silo, answer_of(world.run, silo)))
            else:
                world.say(silo, Join(world.run.plan.digest))
        if world.run.combining:
            world.deliver(result_of(world.combines[-1], accuracy=0.5))


def is_over(run: Run) -> bool:
    return run.outcome in (Outcome.FINISHED, Outcome.STOPPED, Outcome.FAILED)
