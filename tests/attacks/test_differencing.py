"""Sums of one model over several sets give one silo's update; journals refuse where one silo sees what they tell."""

import pytest
from tests.attacks.differencing import ATTACKS, tried
from tests.silo.masked_parts import FOUR

pytestmark = pytest.mark.attacks

LEFT_OUT, THREE_SUMS, APART = ATTACKS


def test_without_journals_a_second_sum_gives_the_silos_update_and_rows_to_the_last_bit():
    assert tried(LEFT_OUT, journaled=False).bits
    assert tried(LEFT_OUT, journaled=False).error < 1e-12


@pytest.mark.parametrize("name", [THREE_SUMS, APART])
def test_without_journals_three_sums_give_it_up_to_the_rounding_of_their_scales(name):
    """The scale depends on the number of silos, so sums of runs of different sizes are rounded differently."""
    assert tried(name, journaled=False).error < 1e-3


def test_with_journals_every_silo_that_is_left_refuses_to_leave_one_out():
    refused = tried(LEFT_OUT, journaled=True).refused
    assert refused.keys() == set(FOUR) - {"west"}
    assert all("it would tell what west sent" in why for why in refused.values())


def test_the_one_silo_that_is_in_all_three_sums_refuses_the_third():
    refused = tried(THREE_SUMS, journaled=True).refused
    assert refused.keys() == {"east"}
    assert "it would tell what east sent" in refused["east"]


def test_what_no_silo_sees_the_whole_of_no_journal_refuses():
    """The limit of journals that know of their own silo's sums alone: decision 0011 and SECURITY say so."""
    got = tried(APART, journaled=True)
    assert not got.refused
    assert got.error < 1e-3
