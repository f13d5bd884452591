"""When the demo fails, what it says can be followed: the logs that it names are there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_a_hospital_with_unusable_records_is_named_and_the_logs_stay(tmp_path):
    (tmp_path / "good.csv").write_text(
        "".join(f"{50 + i},1,4,120,200,0,0,150,0,1.0,1,0,3,{i % 2}\n" for i in range(20))
    )
    (tmp_path / "bad.csv").write_text("age,sex\n1,2\n")
    command = [sys.executable, "-m", "septum", "demo", "--rounds", "1", "--json", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert "bad" in error["message"]
    assert "column" in error["message"]
    logs = re.fullmatch(r"tail (.*)/\*\.log", error["hint"])
    assert logs
    assert {path.stem for path in Path(logs[1]).glob("*.log")} == {"coordinator", "good", "bad"}
