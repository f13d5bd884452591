import subprocess
import sys

import pytest

from septum.adapters.store.open import open_store
from septum.ports.groups import Group


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


@pytest.mark.processes
def test_a_database_is_moved_to_postgresql_by_what_is_printed_and_backed_up_from_there(septum, home, postgres):
    with open_store(home / "c") as stores:
        stores.groups.add(Group("cardio"))
    with postgres.database() as name:
        done = septum("coordinator", "migrate", "--data-dir", home / "c", "--to", postgres.url(name), "--json")
        assert done.code == 0
        assert done.envelope["data"]["tables"]["silo_groups"]["rows"] == 1
        refused = septum("coordinator", "migrate", "--data-dir", home / "c", "--to", postgres.url(name), "--json")
        assert (refused.code, refused.envelope["error"]["code"]) == (2, "config")
        assert "it was moved before" in refused.envelope["error"]["message"]
        (home / "c" / "coordinator.toml").write_text(f"[store]\nurl = '{done.envelope['data']['to']}'\n")
        made = septum("coordinator", "backup", home / "b", "--data-dir", home / "c", "--json")
        assert made.code == 0
    septum("coordinator", "restore", home / "b", "--data-dir", home / "again")
    with open_store(home / "again") as stores:
        assert [group.name for group in stores.groups.groups()] == ["cardio"]


def test_a_password_on_the_command_line_is_refused_and_not_repeated(septum, home):
    done = septum("coordinator", "migrate", "--data-dir", home, "--to", "postgresql://ada:hunter2@db/septum", "--json")
    assert (done.code, done.envelope["error"]["code"]) == (2, "config")
    assert "hunter2" not in done.out + done.err
