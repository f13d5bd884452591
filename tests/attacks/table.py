"""What succeeds and fails where, as a page: `python -m tests.attacks.table > docs/attacks.md` (`make attacktable`)."""

from __future__ import annotations

import sys

from tests.attacks.federation import FEATURES, ROUNDS, SILOS
from tests.attacks.poisoning import ATTACKS, NO_ATTACK, RULES
from tests.attacks.results import ATTACKERS, TOLERANCE, holds, played, undisturbed

HEAD = f"""# Attacks

What dishonest silos can do to a model, and which rules bear it. Made by `make attacktable` from the attack suite
(`tests/attacks`, `make attacks`), which fails when anything here changes.

**Setting.** {SILOS} silos train a logistic regression with {FEATURES} features for {ROUNDS} rounds, each on rows of its
own part of the population; silos' reports are checked and combined by the coordinator's own code. The dishonest
ones know the model, the rule and every honest update. A cell is the accuracy on rows that nobody trained with; an
attack has succeeded (**bold**) when it costs more than {TOLERANCE:g}, or when no model is made.

**What this shows, and what it does not.** All rules but `fedavg` have to see each silo's update. In a masked run the
coordinator sees the sum alone, and none of the other columns can be had. These attacks are loud. One that stays within
the spread of the honest updates is not told from them by any rule, and can lead the model by about that spread in each
round; the further the silos' data differ, the wider it is. NaN and infinities, wrong shapes and wrong types are refused
whatever the rule, and their silo counts as one that did not report: it makes the cohort smaller, which a rule with a
least number of silos has to bear as well.
"""
TITLES = {
    2: "two of nine, whom the rules are set to bear",
    3: "three of nine, one more than trimmed mean and multi-Krum are set to bear",
    5: "five of nine, the majority",
}


def page() -> str:
    settings = ", ".join(
        f"`{rule}`" + "".join(f" with {name} = {value:g}" for name, value in strategy.settings.items() if name != "nu")
        for rule, strategy in RULES.items()
    )
    lines = [HEAD, f"Rules: {settings}.", "Their breakdown points: [strategies](reference/strategies.md).", ""]
    for attackers in ATTACKERS:
        lines += [
            f"## {attackers} attackers: {TITLES[attackers]}",
            "",
            _row("attack", *(f"`{rule}`" for rule in RULES)),
        ]
        lines += ["|---" * (len(RULES) + 1) + "|"]
        lines += [_row("none at all", *(f"{undisturbed(rule):.2f}" for rule in RULES))]
        for attack in ATTACKS:
            if attack != NO_ATTACK:
                lines += [_row(attack, *(_cell(rule, attack, attackers) for rule in RULES))]
        lines += [""]
    return "\n".join(lines)


def _cell(rule: str, attack: str, attackers: int) -> str:
    found = played(rule, attack, attackers)
    told = f"{found.accuracy:.2f}" if found.made_a_model else "no model"
    return told if holds(rule, attack, attackers) else f"**{told}**"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
