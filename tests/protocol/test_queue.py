"""Who begins, and who waits for what? Nobody waits for ever, and no silo gives more than it has."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.protocol.priority import Priority
from septum.protocol.queue import AGES_S, Claim, Waiting, check_possible, decide
from septum.protocol.resources import NOTHING, Capacity, Load, Resources, fits, load_of

SILOS = ("a", "b", "c")
HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def waiting(run, silos=SILOS, priority=NORMAL, since=0.0, needs=NOTHING):
    return Waiting(Claim(run, tuple(silos), needs), priority, since)


def at_work(run, silos=SILOS, needs=NOTHING):
    return Claim(run, tuple(silos), needs)


def test_a_run_whose_silos_have_room_begins_at_once():
    verdict = decide(dict.fromkeys(SILOS, Capacity(2)), [at_work("r-1")], [waiting("r-2")], 0.0)

    assert (verdict.begin, verdict.waits) == (("r-2",), {})


def test_a_run_that_may_not_be_driven_here_waits_with_that_reason_and_keeps_nobody_waiting():
    barred = replace(waiting("r-1", since=1.0), barred="it is for another coordinator")

    verdict = decide(dict.fromkeys(SILOS, Capacity(1)), [], [barred, waiting("r-2", since=2.0)], 3.0)

    assert verdict.begin == ("r-2",)
    assert verdict.waits["r-1"].reason == "it is for another coordinator; position 1 in the queue"


def test_a_full_silo_is_named_with_its_runs_and_the_place_in_the_queue():
    offers = {"st-mary": Capacity(2), "b": Capacity(4)}
    busy = [at_work("r-1", ["st-mary"]), at_work("r-2", ["st-mary"])]
    queue = [waiting("r-3", ["st-mary", "b"], since=1.0), waiting("r-4", ["st-mary"], since=2.0)]

    waits = decide(offers, busy, queue, 5.0).waits

    assert waits["r-3"].reason == "st-mary serves 2 of 2 runs: r-1, r-2; position 1 in the queue"
    assert (waits["r-4"].position, waits["r-4"].reason) == (
        2,
        "st-mary serves 2 of 2 runs: r-1, r-2; position 2 in the queue",
    )


def test_runs_of_another_project_are_counted_and_not_named():
    busy = [Claim("r-1", ("a",), project="ours"), Claim("r-2", ("a",), project="theirs"), Claim("r-3", ("a",))]
    ours, nobodys = (
        Waiting(Claim(run, ("a",), NOTHING, where), NORMAL, 0.0) for run, where in (("p", "ours"), ("q", ""))
    )

    waits = decide({"a": Capacity(3)}, busy, [ours, nobodys], 0.0).waits

    assert waits["p"].reason.startswith("a serves 3 of 3 runs: r-1, 2 runs outside its project;")
    assert waits["q"].reason.startswith("a serves 3 of 3 runs: r-1, r-2, r-3;")


def test_what_is_too_little_is_told_with_its_numbers():
    offers = {"a": Capacity(4, cpus=8, memory_mb=1000, gpus=1)}
    busy = [at_work("r-1", "a", Resources(cpus=6, gpus=1))]

    waits = decide(offers, busy, [waiting("r-2", "a", needs=Resources(cpus=4, gpus=1))], 0.0).waits

    assert waits["r-2"].reason == (
        "a has 2 of 8 processors left, where the run needs 4 and 0 of 1 GPUs left, where the run needs 1; "
        "it serves r-1; position 1 in the queue"
    )


def test_priority_comes_before_age_and_age_before_the_name():
    queue = [
        waiting("r-1", "a", LOW, since=0.0),
        waiting("r-4", "a", NORMAL, since=2.0),
        waiting("r-3", "a", NORMAL, since=2.0),
        waiting("r-2", "a", HIGH, since=3.0),
    ]

    waits = decide({"a": Capacity(1)}, [at_work("r-0", "a")], queue, 4.0).waits

    assert sorted(waits, key=lambda run: waits[run].position) == ["r-2", "r-3", "r-4", "r-1"]


def test_who_has_waited_long_counts_as_one_priority_higher():
    queue = [waiting("old", "a", LOW, since=0.0), waiting("new", "a", NORMAL, since=AGES_S)]
    offers = {"a": Capacity(1)}

    assert decide(offers, [], queue, AGES_S - 1).begin == ("new",)
    assert decide(offers, [], queue, AGES_S).begin == ("old",)


def test_a_run_over_many_silos_keeps_its_place_in_each_of_them():
    offers = {"a": Capacity(1), "b": Capacity(1)}
    queue = [waiting("wide", "ab", since=1.0), waiting("narrow", "b", since=2.0)]

    verdict = decide(offers, [at_work("r-0", "a")], queue, 3.0)

    assert verdict.begin == ()
    assert verdict.waits["narrow"].reason == "b is kept for wide, which is before it; position 2 in the queue"


def test_what_would_be_left_beside_those_before_it_may_begin():
    offers = {"a": Capacity(1), "b": Capacity(2)}
    queue = [waiting("wide", "ab", since=1.0), waiting("narrow", "b", since=2.0)]

    assert decide(offers, [at_work("r-0", "a")], queue, 3.0).begin == ("narrow",)


def test_a_run_that_can_never_begin_keeps_nobody_else_waiting():
    offers = {"a": Capacity(1, gpus=0)}
    queue = [waiting("never", "a", HIGH, needs=Resources(gpus=1)), waiting("other", "a")]

    verdict = decide(offers, [], queue, 0.0)

    assert verdict.begin == ("other",)
    assert verdict.waits["never"].reason.startswith("a offers 0 GPUs (gpus), the run needs 1")


def test_a_silo_that_says_nothing_has_always_room():
    assert decide({}, [at_work("r-1")], [waiting("r-2")], 0.0).begin == ("r-2",)


def test_what_no_silo_can_ever_give_is_refused_with_silo_field_and_numbers():
    offers = {"a": Capacity(4, cpus=8, memory_mb=16_000), "b": Capacity(4, cpus=64)}

    check_possible(offers, at_work("r-1", "ab", Resources(cpus=8, memory_mb=16_000)))
    with pytest.raises(ConfigError) as refused:
        check_possible(offers, at_work("r-1", "ab", Resources(cpus=16, memory_mb=32_000)))

    assert refused.value.message == (
        "this run can never begin: a offers 8 processors (cpus), the run needs 16; "
        "a offers 16000 MB of memory (memory_mb), the run needs 32000"
    )


def test_resources_that_cannot_be_are_refused():
    for wrong in ({"cpus": -1}, {"memory_mb": 2**40}, {"gpus": 65}, {"cpus": float("nan")}):
        with pytest.raises(ConfigError):
            Resources(**wrong)
    with pytest.raises(ConfigError):
        Capacity(0)


# --- laws ----------------------------------------------------------------------------------------------------------

needs = st.builds(
    Resources, cpus=st.sampled_from([0.0, 0.5, 1.0, 3.0]), memory_mb=st.sampled_from([0, 1000]), gpus=st.integers(0, 1)
)
capacities = st.builds(
    Capacity,
    runs=st.integers(1, 3),
    cpus=st.none() | st.sampled_from([1.0, 4.0]),
    memory_mb=st.none() | st.sampled_from([1000, 4000]),
    gpus=st.none() | st.integers(0, 2),
)
some_silos = st.sets(st.sampled_from(SILOS), min_size=1).map(lambda found: tuple(sorted(found)))
some_offers = st.dictionaries(st.sampled_from(SILOS), capacities)


@st.composite
def queues(draw):
    silos = st.tuples(some_silos, needs, st.sampled_from(list(Priority)), st.integers(0, 3))
    drawn = draw(st.lists(silos, max_size=7))
    return [waiting(f"q-{n}", s, p, since * AGES_S / 2, need) for n, (s, need, p, since) in enumerate(drawn)]


@given(some_offers, queues(), st.randoms(use_true_random=False))
def test_no_silo_is_asked_for_more_than_it_gives_and_the_order_of_asking_does_not_matter(offers, queue, rng):
    verdict = decide(offers, [], queue, 2 * AGES_S)

    claims = {one.claim.run: one.claim for one in queue}
    for silo, offer in offers.items():
        begun = [claims[run].needs for run in verdict.begin if silo in claims[run].silos]
        for n, need in enumerate(begun):
            assert fits(need, offer, load_of(begun[:n]))
    assert sorted([*verdict.begin, *verdict.waits]) == sorted(claims)
    assert decide(offers, [], rng.sample(queue, len(queue)), 2 * AGES_S) == verdict


@given(some_offers, queues())
def test_the_first_in_the_queue_begins_where_all_its_silos_are_idle(offers, queue):
    """Nothing stands idle for nobody's sake: who waits is kept out by somebody, or can never begin."""
    verdict = decide(offers, [], queue, 2 * AGES_S)

    first = min(verdict.waits.items(), key=lambda item: item[1].position, default=None)
    if first is not None and not verdict.begin:
        assert "offers" in first[1].reason


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(Priority)), st.tuples(*[st.integers(1, 2)] * 3), st.permutations(SILOS))
def test_every_run_begins_however_urgent_those_are_that_keep_coming(priority, rooms, order):
    """One wide run of any priority, and narrow ones of high priority that come to every silo each hour, for ever.

    One run ends an hour, the oldest, so that its silos are never all idle at one time by themselves.
    """
    offers = {silo: Capacity(room) for silo, room in zip(SILOS, rooms, strict=True)}
    queue, working, numbers = [waiting("wide", SILOS, priority)], [], itertools.count()
    working = [Claim(f"w-{silo}-{n}", (silo,)) for silo in order for n in range(offers[silo].runs)]
    enough = 2 * int(AGES_S // 3600) + sum(rooms)  # until it counts as high, and all that is at work has ended

    for hour in range(1, enough + 2):
        now = hour * 3600.0
        queue += [waiting(f"u-{next(numbers)}", silo, HIGH, now) for silo in SILOS]
        working.pop(0)
        begun = set(decide(offers, working, queue, now).begin)
        if "wide" in begun:
            return
        working += [one.claim for one in queue if one.claim.run in begun]
        queue = [one for one in queue if one.claim.run not in begun]
    raise AssertionError(f"it did not begin within {enough} hours")


def test_loads_add_up():
    assert load_of([Resources(1.5, 10, 1), Resources(0.5)]) == Load(2, 2.0, 10, 1)
