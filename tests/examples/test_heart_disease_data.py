"""The shipped files are UCI's, byte for byte, and the script that makes them again knows their ways of writing."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

# Rows and sha256 as published; written here again so that the script cannot vouch for itself.
UCI = {
    "cleveland.data": (303, "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8"),
    "hungary.data": (294, "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796"),
    "switzerland.data": (123, "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314"),
    "long-beach-va.data": (200, "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f"),
}


@pytest.fixture(scope="module")
def script(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("heart_disease_rebuild", folder / "data" / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", UCI)
def test_a_shipped_file_is_ucis(folder: Path, name: str) -> None:
    content = (folder / "data" / name).read_bytes()
    assert (content.count(b"\n"), hashlib.sha256(content).hexdigest()) == UCI[name]


def test_the_attribution_names_licence_citation_and_digests(folder: Path, script: ModuleType) -> None:
    text = (folder / "data" / "ATTRIBUTION.md").read_text()
    for part in ("CC BY 4.0", "10.24432/C52P4X", "Janosi", "Steinbrunn", "Pfisterer", "Detrano"):
        assert part in text
    for name, (rows, digest) in UCI.items():
        assert any(f"`{name}` | {rows} |" in line and digest in line for line in text.splitlines())
        assert script.DIGESTS[name] == digest


def test_rows_are_written_as_each_file_of_uci_writes_them(script: ModuleType) -> None:
    table = """\
id,age,sex,dataset,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak,slope,ca,thal,num
1,63,Male,Cleveland,typical angina,145,233,TRUE,lv hypertrophy,150,FALSE,2.3,downsloping,0,fixed defect,0
304,28,Male,Cleveland,atypical angina,130,132,FALSE,lv hypertrophy,185,FALSE,0,,,,0
600,32,Male,Switzerland,typical angina,95,0,,normal,127,FALSE,0.7,upsloping,,,1
601,32,Female,Switzerland,non-anginal,95,0,,st-t abnormality,127,FALSE,-0.9,flat,,reversable defect,1
721,63,Male,VA Long Beach,asymptomatic,140,,FALSE,st-t abnormality,112,TRUE,-0.5,flat,,normal,2
"""
    files = script.rebuild(table)
    assert files == {
        "cleveland.data": b"63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0\n",
        "hungary.data": b"28,1,2,130,132,0,2,185,0,0,?,?,?,0\n",
        "switzerland.data": b"32,1,1,95,0,?,0,127,0,.7,1,?,?,1\n32,0,3,95,0,?,1,127,0,-.9,2,?,7,1\n",
        "long-beach-va.data": b"63,1,4,140,?,0,1,112,1,-0.5,2,?,3,2\n",
    }
