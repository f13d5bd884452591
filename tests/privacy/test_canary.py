"""DP-SGD shows no more of a record than is accounted, by attack; without one of its parts it shows more (canary.py)."""

import pytest
from tests.privacy.canary import LIMIT_OFF, MUTATIONS, accounted, least_epsilon, mutated, shown

pytestmark = pytest.mark.laws


def test_what_the_canary_shows_is_within_what_is_accounted_and_not_nothing():
    assert 0.3 * accounted() < shown() <= accounted()


@pytest.mark.parametrize("missing", MUTATIONS)
def test_a_step_without_one_of_its_parts_is_found_out(missing):
    assert shown(missing) > accounted()


def test_either_of_the_two_checks_of_a_records_length_is_enough():
    assert least_epsilon(mutated(MUTATIONS["no clipping"])) <= accounted()
    assert least_epsilon(mutated(LIMIT_OFF)) <= accounted()
