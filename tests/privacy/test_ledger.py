"""The ledger's rules: what counts as spent, what may follow what, and what the budget can pay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.accountant import epsilon_of
from septum.errors import ConfigError, ProtocolError
from septum.privacy.accounting import Gaussian, SampledGaussian, Stated
from septum.privacy.ledger import (
    Book,
    Budget,
    Charge,
    Recovered,
    Refused,
    Released,
    Reserved,
    Settled,
    Unit,
    decide,
    is_settled,
    link,
    step,
)


def added(mechanisms, delta):
    """Basic composition: a true upper bound for what is stated, and quick."""
    return sum(one.epsilon for one in mechanisms)


def charge(epsilon=1.0, dataset="heart", unit=Unit.RECORD):
    return Charge(dataset, unit, Stated(epsilon), "run r-1")


def sgd(steps, dataset="heart"):
    return Charge(dataset, Unit.RECORD, SampledGaussian(1.0, 0.1, steps), "run r-1")


def played(*events):
    book = Book()
    for event in events:
        book = step(book, event)
    return book


def test_a_reservation_counts_in_full_until_it_is_settled_by_what_was_executed():
    reserved = played(Reserved("a", sgd(100)))
    assert reserved.costs("heart") == (SampledGaussian(1.0, 0.1, 100),)
    assert step(reserved, Settled("a", 30)).costs("heart") == (SampledGaussian(1.0, 0.1, 30),)
    assert step(reserved, Settled("a", 0)).costs("heart") == ()


def test_what_is_refused_costs_nothing_and_what_is_released_costs_at_once():
    assert played(Refused(charge(), Budget(1.0, 1e-5))).costs("heart") == ()
    assert played(Released(charge())).costs("heart") == (Stated(1.0),)


def test_datasets_are_counted_apart_and_runs_of_one_together():
    book = played(Reserved("a", sgd(1)), Released(charge()), Reserved("b", sgd(2)), Reserved("c", sgd(9, "lung")))
    assert sorted(book.costs("heart"), key=repr) == sorted(
        [SampledGaussian(1.0, 0.1, 1), Stated(1.0), SampledGaussian(1.0, 0.1, 2)], key=repr
    )
    assert book.costs("lung") == (SampledGaussian(1.0, 0.1, 9),)
    assert book.costs("skin") == ()


def test_what_was_lost_counts_against_every_dataset_those_to_come_as_well():
    book = played(Released(charge(0.5)), Recovered(Stated(2.0), 7))
    assert book.costs("heart") == (Stated(0.5), Stated(2.0))
    assert book.costs("not named yet") == (Stated(2.0),)


@pytest.mark.parametrize(
    ("before", "event"),
    [
        ([], Settled("a", 1)),
        ([Reserved("a", sgd(5))], Reserved("a", sgd(5))),
        ([Reserved("a", sgd(5)), Settled("a", 5)], Reserved("a", sgd(5))),
        ([Reserved("a", sgd(5)), Settled("a", 5)], Settled("a", 4)),
        ([Reserved("a", sgd(5))], Settled("a", 6)),
        ([Reserved("a", sgd(5))], Settled("a", -1)),
        ([Reserved("a", charge(unit=Unit.PATIENT))], Released(charge())),
    ],
    ids=["unknown", "twice", "again after", "another word", "too many", "negative", "another unit"],
)
def test_an_event_that_cannot_follow_is_refused(before, event):
    book = played(*before)
    with pytest.raises(ProtocolError):
        step(book, event)


def test_a_settlement_is_known_again():
    book = played(Reserved("a", sgd(5)), Settled("a", 3))
    assert is_settled(book, "a", 3)
    assert not is_settled(book, "a", 4)
    assert not is_settled(book, "b", 3)


def test_another_unit_gives_nobody_a_second_budget():
    book = played(Released(charge(0.9, unit=Unit.RECORD)))
    with pytest.raises(ProtocolError, match="accounted for by record; run r-1 is by patient"):
        decide(book, charge(0.9, unit=Unit.PATIENT), Budget(1.0, 1e-5), added)


def test_the_budget_pays_to_the_last_and_says_what_is_left():
    book = played(Released(charge(0.25)), Reserved("a", charge(0.5)))
    assert decide(book, charge(0.25), Budget(1.0, 1e-5), added) is None
    refusal = decide(book, charge(0.2501), Budget(1.0, 1e-5), added)
    assert refusal.message == (
        "run r-1 would bring dataset 'heart' to epsilon 1.001 at delta 1e-05; the budget is 1, of which 0.75 is spent"
        " and 0.25 is left"
    )
    assert "septum silo ledger show" in refusal.hint


def test_what_is_told_is_never_on_the_comfortable_side():
    refusal = decide(played(Released(charge(0.33333))), charge(1), Budget(1.0, 1e-5), added)
    assert "0.334 is spent and 0.666 is left" in refusal.message


def test_a_budget_is_composed_by_the_accountant_and_not_added_up():
    # 8 releases of sigma 10: 8 x 0.32 by addition, and less by composition
    alone = epsilon_of([Gaussian(10.0)], 1e-5)
    book = played(*[Released(Charge("heart", Unit.RECORD, Gaussian(10.0), f"{n}")) for n in range(7)])
    budget = Budget(4 * alone, 1e-5)
    assert decide(book, Charge("heart", Unit.RECORD, Gaussian(10.0), "8"), budget, epsilon_of) is None
    assert decide(book, Charge("heart", Unit.RECORD, Gaussian(1.0), "big"), budget, epsilon_of) is not None


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), max_size=30))
def test_whatever_is_asked_for_the_budget_is_never_exceeded(requests):
    book, budget = Book(), Budget(2.0, 1e-5)
    for number, (epsilon, crashed) in enumerate(requests):
        if decide(book, charge(epsilon), budget, added) is None:
            book = step(book, Reserved(f"{number}", charge(epsilon)))
            book = book if crashed else step(book, Settled(f"{number}", 1))
        assert added(book.costs("heart"), 1e-5) <= 2.0


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-5), (float("nan"), 1e-5), (1.0, 0.0), (1.0, 1.0)])
def test_a_budget_that_bounds_nothing_is_refused(epsilon, delta):
    with pytest.raises(ConfigError):
        Budget(epsilon, delta)


def test_a_charge_without_a_dataset_is_refused():
    with pytest.raises(ConfigError):
        charge(dataset="")


def test_a_hash_is_over_the_one_before_and_the_entry():
    from hashlib import sha256

    assert link("00" * 32, b"entry") == sha256(bytes(32) + b"entry").hexdigest()
