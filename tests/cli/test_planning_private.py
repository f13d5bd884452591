"""What the command line says of private parameters and of privacy, in the plan."""

from __future__ import annotations

import pytest

from septum.cli.options import RunOptions
from septum.cli.planning import Described, make_plan
from septum.errors import ConfigError
from septum.protocol.plan import Plan, Private, Start
from septum.sdk.hyper import HyperField


def planned(patterns: tuple[str, ...], **options: object) -> Plan:
    app = Described("heart", "1.0.0", "sha256:aa", (HyperField("rounds", int, 3),), {}, private=patterns)
    return make_plan(app, ("a", "b", "c"), RunOptions(**options))


def test_a_plan_repeats_the_apps_own_patterns_and_starts_afresh():
    assert planned(("head.*",)).private == Private(("head.*",), Start.FRESH, 0)


def test_a_plan_of_an_app_that_shares_all_says_nothing_of_it():
    assert planned(()).private is None


def test_options_say_what_it_starts_from_and_how_far_it_is_personalised():
    assert planned(("head.*",), private="continue", personalise=4).private == Private(("head.*",), Start.CONTINUE, 4)
    assert planned((), personalise=4).private == Private((), Start.FRESH, 4)


@pytest.mark.parametrize(
    ("private", "options", "problem"),
    [
        ((), {"private": "continue"}, "app 'heart' has no private parameters to continue from"),
        (("head.*",), {"private": "contine"}, "did you mean 'continue'?"),
        (("head.*",), {"personalise": 10_001}, "personalise must be between 0 and 10000, not 10001"),
    ],
)
def test_what_does_not_fit_the_app_is_told(private, options, problem):
    with pytest.raises(ConfigError) as caught:
        planned(private, **options)
    assert problem in caught.value.message


def test_metrics_with_noise_are_a_part_of_a_target():
    assert planned((), target_epsilon=5.0).privacy.metrics_epsilon is None
    assert planned((), target_epsilon=5.0, metrics_epsilon=2.0).privacy.metrics_epsilon == 2.0
    with pytest.raises(ConfigError, match="--metrics-epsilon belongs to --target-epsilon"):
        planned((), metrics_epsilon=2.0)
    with pytest.raises(ConfigError, match="leave nothing of the target 2 for training"):
        planned((), target_epsilon=2.0, metrics_epsilon=2.0)
