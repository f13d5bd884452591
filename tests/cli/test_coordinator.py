import subprocess
import sys

import pytest


@pytest.mark.processes
@pytest.mark.parametrize("command", [["coordinator", "start", "--data-dir", "c"], ["demo"]], ids=["start", "demo"])
def test_a_missing_extra_names_the_command_that_installs_it(home, command):
    program = (
        f"import sys; sys.modules['granian'] = None\nfrom septum.cli.main import main\nsys.exit(main({command!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "granian, which is not installed" in done.stderr
    assert "pip install 'septum[coordinator]'" in done.stderr
    assert not (home / "work" / "c").exists()


def test_a_wrong_setting_is_refused_before_anything_is_made(septum, home):
    done = septum("coordinator", "start", "--data-dir", home / "c", "--listen", "nowhere", "--json")
    assert (done.code, done.envelope["error"]["code"]) == (2, "config")
    assert "nowhere" in done.envelope["error"]["message"]
    assert not (home / "c").exists()
