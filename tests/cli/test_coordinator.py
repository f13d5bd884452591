import subprocess
import sys


def test_a_missing_extra_names_the_command_that_installs_it(home):
    program = (
        "import sys; sys.modules['granian'] = None\n"
        "from septum.cli.main import main\n"
        "sys.exit(main(['coordinator', 'start', '--data-dir', 'c']))"
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
