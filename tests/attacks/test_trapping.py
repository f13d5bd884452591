"""A coordinator that chooses the model reads records out of a masked sum; not if the silos' training is private."""

import pytest
from tests.attacks.trapping import ROWS, found
from tests.attacks.victims import SILOS

pytestmark = pytest.mark.attacks

ALL = ROWS * len(SILOS)


def test_masks_do_not_help_against_a_model_made_to_trap_records():
    assert found()["network"] > ALL / 2
    assert found()["logistic"] > ALL / 2


def test_noise_in_each_silo_does():
    assert found()["private"] == 0
