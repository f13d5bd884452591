"""Two exact answers tell who came between them; an answer with noise tells no more than its epsilon."""

import math

import pytest
from tests.attacks.asking_twice import DELTA, EPSILON, MUTATIONS, PATIENT, by_subtracting, by_the_best_test

pytestmark = pytest.mark.attacks


def test_the_difference_of_two_exact_answers_is_the_patient():
    assert by_subtracting() == pytest.approx(PATIENT, abs=1e-3)


def test_with_noise_true_positives_are_within_e_to_epsilon_times_false_ones_plus_delta():
    shown = by_the_best_test()
    assert shown.epsilon <= EPSILON
    spread = 3 * math.sqrt(shown.true + 1) / shown.trials
    assert shown.true / shown.trials <= math.exp(EPSILON) * shown.false / shown.trials + DELTA + spread


@pytest.mark.parametrize("missing", MUTATIONS)
def test_with_less_noise_the_same_attack_shows_more_than_is_accounted(missing):
    assert by_the_best_test(missing).epsilon > EPSILON
