"""The silo's own rules: what each one says, and that what is written is what is read."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.protocol.privacy import Strength
from septum.silo.policy import Hours, LogsLeave, Policy, RosterBy, explained, hours_of

MINUTES = st.integers(0, 24 * 60 - 1)
SIGNER = "ed25519:" + "a" * 64


@given(start=MINUTES, end=MINUTES, minute=MINUTES)
def test_waiting_as_long_as_told_ends_within_the_hours_and_not_a_minute_sooner(start, end, minute):
    hours = Hours(start, end)
    wait = hours.wait_minutes(minute)
    assert hours.hold((minute + wait) % (24 * 60))
    assert not any(hours.hold((minute + less) % (24 * 60)) for less in range(wait))


@given(start=MINUTES, end=MINUTES)
def test_hours_read_back_as_they_are_written(start, end):
    assert hours_of(str(Hours(start, end)), "[policy]") == Hours(start, end)


def test_the_end_of_the_hours_is_not_in_them_and_the_beginning_is():
    day = Hours(8 * 60, 18 * 60)
    assert [day.hold(minute) for minute in (8 * 60 - 1, 8 * 60, 18 * 60 - 1, 18 * 60)] == [False, True, True, False]


@pytest.mark.parametrize("text", ["20-6", "24:00-06:00", "20:60-06:00", "20:00", "20:00 - 06:00", "a:b-c:d"])
def test_hours_that_are_none_say_how_to_write_them(text):
    with pytest.raises(ConfigError, match="hours is") as caught:
        hours_of(text, "[policy]")
    assert 'hours = "20:00-06:00"' in caught.value.hint


def test_each_rule_is_explained_and_changes_the_digest():
    changed = {
        "min_cohort": 4,
        "require_masking": False,
        "allow_silo_models": True,
        "max_rounds": 7,
        "strategies": ("fedavg",),
        "folders": False,
        "signers": (SIGNER,),
        "require_signature": True,
        "columns": ("age",),
        "releases": ("rows",),
        "min_rows": 11,
        "roster": RosterBy.CHAIN,
        "require_roster": True,
        "min_sandbox": 2,
        "egress_hosts": ("blobs.example.org",),
        "tracking_hosts": ("mlflow.example.org",),
        "tell_dataset": True,
        "tell_budget_below": 0.2,
        "hours": Hours(60, 120),
        "send_error_texts": True,
        "require_privacy": True,
        "privacy_strength": Strength.ATTESTED,
        "max_epsilon": 2.0,
        "max_delta": 1e-4,
        "epsilon_budget": 8.0,
        "budget_delta": 1e-6,
        "keep_models": False,
        "queries": ("heart",),
        "require_noise": True,
        "min_cell": 11,
        "tell_rows": True,
        "logs": LogsLeave.APP,
        "system_every_s": 0,
        "traces": "https://otel.example.org:4318",
    }
    assert set(changed) == {field.name for field in fields(Policy)} == set(explained(Policy()))
    words, digests = explained(Policy()), {Policy().digest}
    for name, value in changed.items():
        policy = Policy(**{name: value})
        digests.add(policy.digest)
        assert {key for key, text in explained(policy).items() if text != words[key]} == {name}
    assert len(digests) == len(changed) + 1


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"signers": ("ed25519:short",)}, "signers has 'ed25519:short'"),
        ({"releases": ("records",)}, "releases has 'records'; possible are parameters"),
        ({"min_sandbox": 3}, "min_sandbox is 3"),
        ({"epsilon_budget": 0.0}, "a budget of epsilon 0"),
        ({"budget_delta": 2.0}, "a delta of 2"),
        ({"max_delta": 0.0}, "a delta of 0"),
        ({"max_epsilon": float("nan")}, "max_epsilon is nan"),
        ({"min_cell": 0}, "min_cell is 0"),
        ({"tell_rows": True, "require_privacy": True}, "tell_rows tells of a dataset's rows without noise"),
        ({"tell_rows": True, "require_noise": True}, "tell_rows tells of a dataset's rows without noise"),
        ({"system_every_s": 601}, "system_every_s is 601; 0"),
        ({"system_every_s": -1}, "system_every_s is -1; 0"),
        ({"egress_hosts": ("*.example.org",)}, r"egress_hosts has '\*\.example\.org', which is no host"),
        ({"tracking_hosts": ("https://x",)}, "tracking_hosts has 'https://x', which is no host"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(rules, says):
    with pytest.raises(ConfigError, match=says):
        Policy(**rules)


def test_how_busy_the_machine_is_is_never_told_where_only_private_runs_may_run():
    assert Policy().tells_system
    assert not Policy(system_every_s=0).tells_system
    assert not Policy(require_privacy=True).tells_system
