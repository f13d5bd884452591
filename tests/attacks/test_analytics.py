"""With two silos each reads the other's statistics; with three, the sum of two; journals hold for statistics too."""

import pytest
from tests.attacks.analytics import EXACT, by_a_coordinator, by_a_silo
from tests.attacks.differencing import ATTACKS

pytestmark = pytest.mark.attacks

LEFT_OUT, THREE_SUMS, APART = ATTACKS


def test_of_two_silos_each_has_the_others_statistics():
    assert by_a_silo(2) < EXACT


def test_of_three_silos_each_has_the_sum_of_the_two_others():
    assert by_a_silo(3) > 0.5


def test_the_statistics_of_one_app_are_one_question_and_no_silo_is_left_out_of_a_second_sum():
    assert by_a_coordinator(LEFT_OUT) == ("east", "north", "south")
    assert by_a_coordinator(THREE_SUMS) == ("east",)


def test_sums_that_no_silo_is_in_all_of_tell_one_silos_statistics():
    assert by_a_coordinator(APART) < EXACT
