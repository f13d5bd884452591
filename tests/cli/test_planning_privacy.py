"""What the command line says of differential privacy, in the plan."""

from __future__ import annotations

import pytest

from septum.cli.options import RunOptions
from septum.cli.planning import privacy
from septum.errors import ConfigError
from septum.protocol.privacy import Privacy, Strength


def test_privacy_is_enforced_unless_it_is_asked_for_otherwise():
    assert privacy(RunOptions(target_epsilon=5.0)) == Privacy(5.0, strength=Strength.ENFORCED)
    attested = privacy(RunOptions(target_epsilon=5.0, privacy_strength="attested"))
    assert attested == Privacy(5.0, strength=Strength.ATTESTED)


def test_a_strength_that_is_none_and_one_of_no_privacy_are_told():
    with pytest.raises(ConfigError, match="--privacy-strength atested: did you mean 'attested'"):
        privacy(RunOptions(target_epsilon=5.0, privacy_strength="atested"))
    with pytest.raises(ConfigError, match="--privacy-strength belongs to --target-epsilon, which is not there"):
        privacy(RunOptions(privacy_strength="attested"))
