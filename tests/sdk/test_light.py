"""`import septum` and what an agent reads load no numpy; every public name is there when asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import septum

pytestmark = pytest.mark.processes

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart_disease"
NETWORK = str(EXAMPLE.with_name("heart_disease_network"))  # its manifest lists layers; its code imports torch


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import septum; septum.__version__",
        "import septum; septum.hyper; septum.App",
        "from pathlib import Path; from septum.sdk.package import digest_of, read_manifest;"
        f"read_manifest(Path({str(EXAMPLE)!r})); digest_of(Path({str(EXAMPLE)!r}))",
        f"from pathlib import Path; from septum.sdk.package import read_manifest; read_manifest(Path({NETWORK!r}))",
    ],
    ids=["version", "app and hyper", "manifest and digest", "manifest with layers"],
)
def test_no_numpy_is_loaded(code: str) -> None:
    loaded = loaded_after(code)
    assert "septum" in loaded
    assert not {"numpy", "torch", "httpx"} & loaded


def test_numpy_is_loaded_when_data_is_used() -> None:
    assert "numpy" in loaded_after("from septum import Data")


def test_torch_is_not_loaded_by_an_app_that_does_not_use_it() -> None:
    loaded = loaded_after(
        f"from pathlib import Path; from septum.sdk.package import load_app; load_app(Path({str(EXAMPLE)!r}))"
    )
    assert "numpy" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("name", septum.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(septum, name) is not None
    assert name in dir(septum)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'septum' has no attribute 'Application'"):
        _ = septum.Application  # type: ignore[attr-defined]
