"""A canary shows no more than is accounted, and more once sampling, clip or noise is gone."""

import pytest
from tests.attacks.canaries import rows
from tests.attacks.rows import Verdict
from tests.privacy.canary import MUTATIONS

pytestmark = pytest.mark.attacks


def test_the_attack_succeeds_exactly_where_a_part_is_missing():
    assert [row.verdict for row in rows()] == [Verdict.FAILS, *[Verdict.SUCCEEDS] * len(MUTATIONS)]
    assert set(MUTATIONS) == {"no sampling", "no clipping", "no noise"}
