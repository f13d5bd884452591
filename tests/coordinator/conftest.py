"""Async tests run on asyncio, which is what the coordinator runs on."""

import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"
