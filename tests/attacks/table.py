"""What succeeds and fails where, as a page: `python -m tests.attacks.table > docs/attacks.md` (`make attacktable`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.attacks import (
    analytics,
    asking_twice,
    canaries,
    differencing,
    guessing,
    inversion,
    leakage,
    lying,
    membership,
    results,
    rounds,
    trapping,
    under_masks,
    uniform,
)
from tests.attacks.federation import FEATURES, ROUNDS, SILOS, Played
from tests.attacks.poisoning import ATTACKS, NO_ATTACK, RULES
from tests.attacks.rows import Row

HEAD = """# Attacks

What a coordinator, a silo and whoever gets the model can do, tried: which attacks succeed, which fail, and how well.
Made by `make attacktable` from the attack suite (`tests/attacks`, `make attacks`), which fails when anything here
changes. No verdict and no figure is written by hand.

In short:

* **Without masks** (`--inspect`) the coordinator reads single records out of updates, exactly.
* **Under masks** a silo's upload is random bytes to it. The *sum* is not: with few records it is like one of them, and
  a coordinator that chooses the model reads records out of it, only not whose they are. Masks hide who sent what; what
  a sum says is for differential privacy to limit.
* **The release journal** stops sums of one model that would tell one silo's update, as far as some silo is in all of
  them. It does not stop sums of which no silo sees the whole, nor sums of models that are almost the same: a silo that
  is missing in one round shows most of its update, and a coordinator that hands out a model again in another run, with
  a bit of it changed, gets all of it. A `min_cohort` of all silos stops that; otherwise it is for differential privacy
  to limit.
* **A coordinator that lies** is refused, and the silo's log says what it asked.
* **Differentially private training** keeps what its epsilon says, and so do **statistics with noise**; without noise,
  two answers tell who came between them. The canaries are also attacked in whole runs between processes
  (`tests/attacks/test_private_processes.py`); the noise there is the system's, so no figure of it can stand here.
* **A dishonest silo** spoils a mean. Robust rules bear some of them, without masks; under masks the bounds in the plan
  are all there is.

"""


@dataclass(frozen=True)
class Section:
    """Attacks on one thing."""

    title: str
    text: str
    rows: Sequence[Callable[[], list[Row]]]


SECTIONS = (
    Section(
        "Records out of updates",
        """Real runs in memory: the coordinator's own code, real agents, one round; the attack works on what the silos
sent. *error* is the distance of the closest guess from a record, relative to the record: 0 is the record, 1 is what
guessing the mean of all patients gives. *likeness* is |correlation|, of which guesses at random in 64 dimensions stay
below 0.6. Division needs a layer with a bias. DLG is a search, and that it fails is no proof: another may not.""",
        (inversion.rows, leakage.rows, trapping.rows),
    ),
    Section(
        "Several sums",
        """Silos are numbered; training gives the same update each time. The machines of real agents with real keys, and
journals on the disk. `min_cohort` is 3. *error* and *likeness* are of a silo's update, as above of a record.""",
        (differencing.rows, rounds.rows, analytics.rows),
    ),
    Section(
        "Whether a record was there",
        f"""Shadow models and canaries: what the claim of differential privacy is about. Bounds are those of Clopper and
Pearson with 95 % confidence; an attack has succeeded when it shows a larger epsilon than is accounted. By low loss:
when true positives exceed false ones by more than 0.3. delta is {membership.DELTA:g}.""",
        (membership.rows, canaries.rows, asking_twice.rows),
    ),
    Section(
        "A coordinator that lies",
        """To one silo of four, which has its app, data, journal and the others' right keys; each lie is told twice. The
same lies are told over TLS to a real agent in `tests/faults/test_lying_coordinator.py`, with runs without masks and
silos that are not in the roster. What the silo logs names the request by its digest.""",
        (lying.rows,),
    ),
    Section("Masks", "", (uniform.rows, guessing.rows)),
)

TITLES = {
    2: "two of nine, whom the rules are set to bear",
    3: "three of nine, one more than trimmed mean and multi-Krum are set to bear",
    5: "five of nine, the majority",
}


def page() -> str:
    lines = [HEAD.rstrip("\n"), ""]
    for section in SECTIONS:
        lines += [f"## {section.title}", "", *([section.text, ""] if section.text else [])]
        lines += [_row("attack", "who attacks has", "", "measured", "test"), "|---" * 5 + "|"]
        lines += [_line(row) for made in section.rows for row in made()]
        lines += [""]
    return "\n".join([*lines, *_without_masks(), *_under_masks()])


def _line(row: Row) -> str:
    return _row(row.attack, row.holds, row.verdict.value, row.figure, f"[{row.test}](../tests/attacks/{row.test}.py)")


# --- dishonest silos --------------------------------------------------------------------------------------------------


def _without_masks() -> list[str]:
    settings = ", ".join(
        f"`{rule}`" + "".join(f" with {name} = {value:g}" for name, value in strategy.settings.items() if name != "nu")
        for rule, strategy in RULES.items()
    )
    lines = [
        f"""## Dishonest silos, without masks

{SILOS} silos train a logistic regression with {FEATURES} features for {ROUNDS} rounds, each on rows of its
own part of the population; silos' reports are checked and combined by the coordinator's own code. The dishonest
ones know the model, the rule and every honest update. A cell is the accuracy on rows that nobody trained with; an
attack has succeeded (**bold**) when it costs more than {results.TOLERANCE:g}, or when no model is made.

All rules but `fedavg` have to see each silo's update. In a masked run the coordinator sees the sum alone, and none of
the other columns can be had. These attacks are loud. One that stays within the spread of the honest updates is not told
from them by any rule, and can lead the model by about that spread in each round; the further the silos' data differ,
the wider it is. NaN and infinities, wrong shapes and wrong types are refused whatever the rule, and their silo counts
as one that did not report: it makes the cohort smaller, which a rule with a least number of silos has to bear as well.

Rules: {settings}.
Their breakdown points: [strategies](reference/strategies.md).
Tests: [test_poisoning](../tests/attacks/test_poisoning.py).
"""
    ]
    names = [name for name in ATTACKS if name != NO_ATTACK]
    for attackers in results.ATTACKERS:
        lines += _grid(
            f"### {attackers} attackers: {TITLES[attackers]}",
            {f"`{rule}`": rule for rule in RULES},
            names,
            lambda rule, attack, k=attackers: (results.played(rule, attack, k), results.holds(rule, attack, k)),
        )
    return lines


def _under_masks() -> list[str]:
    shift = under_masks.shift()
    lines = [
        f"""## Dishonest silos, under masks

The same federation and attacks with a masked mean. The dishonest have bad data or a bad app; their agents are the
shipped ones. An agent gives up, and its silo drops out of the round, at NaN and infinity, at more rows than
`max_weight` ({under_masks.MAX_WEIGHT} here) and when more than 0.1 % of its coordinates are beyond `max_update`. Of
nine silos two may drop out; when a third does, there is no model. `clip_norm`, `max_update` and `max_weight` are held
by the agent, out of the app's reach; an update that `clip_norm` shortens takes part.

A silo that runs other code is bound by the ring alone. Of nine silos with 100 rows each, one that clips as it should
moves a coordinate of the mean by {shift.agent:.2f} `max_update` at most; one that masks words of its choice moved it
by {shift.own_code:.2f} `max_update`: up to silos x `max_weight` / all rows. Nobody can tell which silo it was. A
`max_weight` close to what silos have keeps that small.
Tests: [{under_masks.TEST}](../tests/attacks/{under_masks.TEST}.py).
"""
    ]
    for attackers in under_masks.ATTACKERS:
        lines += _grid(
            f"### {attackers} attacker{'s' * (attackers > 1)} under masks",
            {terms: terms for terms in under_masks.TERMS},
            under_masks.NAMES,
            lambda terms, attack, k=attackers: (
                under_masks.masked_play(terms, attack, k),
                under_masks.holds(terms, attack, k),
            ),
        )
    return lines


def _grid(
    title: str, columns: dict[str, str], attacks: Iterable[str], found: Callable[[str, str], tuple[Played, bool]]
) -> list[str]:
    lines = [title, "", _row("attack", *columns), "|---" * (len(columns) + 1) + "|"]
    lines += [_row("none at all", *(_cell(*found(column, NO_ATTACK)) for column in columns.values()))]
    lines += [_row(attack, *(_cell(*found(column, attack)) for column in columns.values())) for attack in attacks]
    return [*lines, ""]


def _cell(found: Played, holds: bool) -> str:
    told = f"{found.accuracy:.2f}" if found.made_a_model else "no model"
    return told if holds else f"**{told}**"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
