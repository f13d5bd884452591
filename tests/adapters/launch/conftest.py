"""What tests of both levels share: a machine without a sandbox skips what needs one, and says why."""

from __future__ import annotations

import pytest

from septum.adapters.launch.sandbox import lacking


@pytest.fixture(scope="session")
def sandbox() -> None:
    """A test that needs a sandbox."""
    if reason := lacking():
        pytest.skip(f"no sandbox here: {reason}")
