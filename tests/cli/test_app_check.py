"""A new app runs as it is, and a check finds what a silo would refuse, without importing the app here."""

import sys

import pytest

from septum.cli.main import main
from septum.errors import ExitCode

pytestmark = pytest.mark.processes


@pytest.fixture
def made(septum, home):
    folder = home / "apps" / "mine"
    assert septum("app", "new", folder).code == 0
    return folder


def edit(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


# --- new ------------------------------------------------------------------------------------------------------------


def test_a_new_app_is_checked_and_simulated_as_it_is(made, septum):
    checked = septum("app", "check", made, "--json").envelope["data"]
    assert (checked["name"], checked["notes"]) == ("mine", [])
    assert checked["tensors"] == {"bias": [1], "weight": [1, 3]}
    done = septum("simulate", made, "--json")
    assert done.code == 0
    assert sorted(done.envelope["data"]["silos"]) == ["north", "south"]
    assert done.envelope["data"]["metrics"]["roc_auc"] > 0.7


def test_a_new_app_has_the_name_that_is_asked_for(septum, home):
    assert septum("app", "new", home / "x", "--name", "sepsis-2").code == 0
    assert septum("app", "check", home / "x", "--json").envelope["data"]["name"] == "sepsis-2"


@pytest.mark.parametrize("name", ["a b", "../evil", "", 'x")\nimport os', "ä"])
def test_a_name_that_is_none_makes_nothing(septum, home, name):
    folder = home / "x" / (name or " ")
    done = septum("app", "new", folder, "--name", name or " ")
    assert done.code == 2
    assert "is no name for an app" in done.err
    assert not folder.exists()


def test_a_folder_that_holds_something_is_left_alone(septum, home):
    (home / "x").mkdir()
    (home / "x" / "thesis.txt").write_text("mine")
    done = septum("app", "new", home / "x")
    assert done.code == ExitCode.FAILED
    assert [path.name for path in (home / "x").iterdir()] == ["thesis.txt"]


# --- check ----------------------------------------------------------------------------------------------------------


def test_an_app_is_not_imported_into_the_process_that_checks_it(made, septum):
    edit(made, "app.py", "import numpy as np", "import numpy as np\nimport wave")
    sys.modules.pop("wave", None)
    assert septum("app", "check", made).code == 0
    assert "wave" not in sys.modules


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("app.py", "return Split(", "return 1 / 0, Split(", "data raised ZeroDivisionError"),
        ("app.py", "np.zeros(1, np.float32)", "np.zeros(1)", "tensor 'bias' is an array of float64"),
        ("app.py", "return optim.adam(", "raise RuntimeError('no gpu')\n    return optim.adam(", "no gpu"),
        ("app.py", '+ p["bias"]', "+ np.nan", "'logits' holds NaN"),
        ("app.py", '"age", "dose"', '"age", "doze"', "no column 'doze'; did you mean 'dose'?"),
        ("app.py", "import numpy as np", "import nunpy as np", "No module named 'nunpy'"),
        ("septum.toml", '"rows", ', "", "[leaves]: it lists"),
        ("septum.toml", "rounds = 3", "rounds = 0", "[presets.quick]: hyper-parameter 'rounds' is 0"),
        ("septum.toml", "min = 18", "min = 180", "min is 180, above max"),
        ("septum.toml", '0 = "no", 1 = "yes" } }\n\n', '1 = "yes" } }\n\n', "the target has one class"),
    ],
)
def test_what_a_silo_would_refuse_is_told(made, septum, name, old, new, message):
    done = septum("app", "check", edit(made, name, old, new), "--json")
    assert done.code != 0
    assert message in done.envelope["error"]["message"]


def test_the_line_in_the_app_and_what_it_printed_are_shown(made, septum):
    edit(made, "app.py", "    steps =", "    print('weighing')\n    [][1]  # the line\n    steps =")
    done = septum("app", "check", made)
    assert done.code == 1
    assert "[][1]  # the line" in done.err
    assert "weighing" in done.err


def test_an_app_that_cannot_cope_with_missing_values_gets_a_note(made, septum):
    edit(made, "app.py", "rows = table.complete([*FEATURES, TARGET])", "rows = table")
    checked = septum("app", "check", made, "--json")
    assert checked.code == 0
    (note,) = checked.envelope["data"]["notes"]
    assert "rows with missing values" in note
    assert "is missing or infinite in" in note


@pytest.mark.parametrize(
    ("made_of", "says"),
    [
        ("{name: table[name] + 1 for name in FEATURES}", "other numbers of a row than data"),
        ("{name: table[name] + 0 * table[TARGET] for name in FEATURES}", "fails for rows without a target"),
    ],
)
def test_an_app_whose_inputs_are_not_those_that_it_trains_on_gets_a_note(made, septum, made_of, says):
    edit(
        made,
        "app.py",
        "Data.of(inputs(rows, h), rows[TARGET])",
        "Data.of({n: rows[n] for n in FEATURES}, rows[TARGET])",
    )
    edit(made, "app.py", "return {name: table[name] for name in FEATURES}", f"return {made_of}")
    (note,) = septum("app", "check", made, "--json").envelope["data"]["notes"]
    assert says in note


ANOTHER = "return {name: array + np.float32(np.random.default_rng().random()) for name, array in p.items()}"


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("np.zeros((1, len(shape)), np.float32)", "np.random.default_rng().random((1, 3), np.float32)", "initial"),
        ("return optim.adam(", f"{ANOTHER}\n    return optim.adam(", "train"),
    ],
)
def test_an_app_that_gives_something_else_each_time_gets_a_note(made, septum, old, new, word):
    notes = septum("app", "check", edit(made, "app.py", old, new), "--json").envelope["data"]["notes"]
    assert any(note.startswith(f"{word} gave another") for note in notes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import os; os._exit(7)", "exited with code 7 before it was through"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "before it was through"),
    ],
)
def test_an_app_that_ends_its_process_is_told(made, septum, line, message):
    edit(made, "app.py", "import numpy as np", f"import numpy as np\n{line}")
    done = septum("app", "check", made, "--json")
    assert done.code == 1
    assert message in done.envelope["error"]["message"]


def test_a_preset_can_be_tried_and_a_wrong_one_is_named(made, septum):
    edit(made, "septum.toml", "rounds = 3", "lr = 1e-5\nbatch_size = 4096")
    assert septum("app", "check", made, "--preset", "quick").code == 0
    done = septum("app", "check", made, "--preset", "quik", "--json")
    assert done.code == 2
    assert "did you mean 'quick'?" in done.envelope["error"]["message"]


def test_a_requirement_that_is_taken_for_installed_and_is_not_is_named(made, septum):
    with (made / "septum.toml").open("a") as file:
        file.write('[dependencies]\npreinstalled = ["no-such-library-at-all>=2"]\n')
    done = septum("app", "check", made, "--json")
    assert done.code == 2
    assert "no-such-library-at-all" in done.envelope["error"]["message"]


def test_start_up_of_the_other_commands_loads_none_of_this(home):
    for name in ("septum.simulate.rehearsal", "septum.cli.app_check"):
        sys.modules.pop(name, None)
    assert main(["--version"]) == 0
    assert "septum.cli.app_check" not in sys.modules


def test_private_patterns_are_shown_and_one_that_names_no_tensor_is_told(made, septum):
    manifest = made / "septum.toml"
    plain = manifest.read_text()
    manifest.write_text(f'{plain}\n[private]\nparameters = ["bias"]\n')
    done = septum("app", "check", made)
    assert done.code == 0
    assert "never leaves      bias\n" in done.out
    manifest.write_text(f'{plain}\n[private]\nparameters = ["bais"]\n')
    done = septum("app", "check", made)
    assert done.code != 0
    assert "'bais' matches no tensor; did you mean 'bias'?" in done.err
