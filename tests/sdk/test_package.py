"""An app's folder: manifest, digest, import."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from septum.errors import AppError, ConfigError, SeptumError, TooLargeError
from septum.sdk import package
from septum.sdk.contract import Role
from septum.sdk.package import digest_of, load_app, read_manifest

MANIFEST = """\
app = "app:app"
version = "1.2.0"
[data]
missing = ["?"]
[data.columns]
age = {}
chol = { missing = [0, "n/a"] }
num = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
[presets.quick]
rounds = 2
"""

APP = """\
from septum import App, Data, Split, hyper
from .model import start

app = App("packed")

@app.hyper
class Hyper:
    rounds: int = hyper(5, min=1, max=10)

@app.data
def load(table, h):
    return Split(Data.of({"age": table["age"]}, table["num"]), Data.of({"age": table["age"]}, table["num"]))

@app.initial
def initial(shape, h, rng):
    return start()

@app.train
def train(p, data, h, ctx):
    return p

@app.predict
def predict(p, data):
    from .late import logits  # found after the import of the app is over, too
    return logits(data)
"""

MODEL = """\
import numpy as np

def start():
    return {"w": np.zeros(1, np.float32)}
"""

LATE = """\
from .model import np

def logits(data):
    return np.zeros(len(data))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "packed"
    folder.mkdir()
    for name, text in {"septum.toml": MANIFEST, "app.py": APP, "model.py": MODEL, "late.py": LATE}.items():
        (folder / name).write_text(text)
    return folder


def edit(folder: Path, old: str, new: str, name: str = "septum.toml") -> Path:
    path = folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return folder


# --- manifest -------------------------------------------------------------------------------------------------------


def test_a_manifest_says_columns_markers_target_and_presets(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert (manifest.module, manifest.attribute, manifest.version) == ("app", "app", "1.2.0")
    assert list(manifest.columns) == ["age", "chol", "num"]
    assert manifest.missing == {"age": ("?",), "chol": ("?", 0.0, "n/a"), "num": ("?",)}
    assert manifest.columns["age"].role is Role.FEATURE
    assert manifest.target == "num"
    assert manifest.presets == {"quick": {"rounds": 2}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version =", "vresion =", r"unknown key 'vresion'; did you mean 'version'\?"),
        ("[data.columns]", "[data.colums]", r"\[data\]: unknown key 'colums'; did you mean 'columns'\?"),
        ('role = "target"', 'rol = "target"', r"\[data.columns\], num: unknown key 'rol'; did you mean 'role'\?"),
        ('"target"', '"taget"', r"num: role is 'taget'; did you mean 'target'\?"),
        ('num = { role = "target" }', "num = {}", "one column must have the role target, 0 have"),
        ("age = {}", 'age = { role = "target" }', "one column must have the role target, 2 have"),
        ("[0, ", "[true, ", "missing holds True"),
        ('["?"]', '"?"', r"missing is '\?', a list is needed"),
        ("open = [", 'masked = ["rows"]\nopen = [', "rows is in masked and in open"),
        ('"rows"', '"row"', r"'row' cannot leave; did you mean 'rows'\?"),
        ('"app:app"', '"app"', "app is 'app'"),
        ('"app:app"', '"../evil:app"', "app is '../evil:app'"),
        ('"1.2.0"', "1.2", "version is 1.2"),
        ('version = "1.2.0"', "", "version is None"),
        ("age = {}", "age = 3", "age: it is 3, a table is needed"),
        ('app = "app:app"', "app =", "septum.toml: not TOML"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_an_error_that_says_where(
    folder: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_manifest(edit(folder, old, new))
    assert "septum.toml" in caught.value.message
    assert caught.value.hint


def test_a_folder_without_a_manifest_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"septum.toml: cannot be read: No such file"):
        read_manifest(tmp_path)


# --- digest ---------------------------------------------------------------------------------------------------------


def test_the_digest_is_the_same_wherever_the_folder_lies_and_whatever_is_beside_the_app(
    folder: Path, tmp_path: Path
) -> None:
    before = digest_of(folder)
    for name in (".git/config", "__pycache__/app.cpython-311.pyc", "sub/__pycache__/x.pyc", "old.pyc", "data/x.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("anything")
    (folder / ".hidden").symlink_to("/etc/hostname")
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert digest_of(moved) == before
    assert before.startswith("sha256:")
    assert len(before) == len("sha256:") + 64


def test_the_digest_is_the_written_down_one(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"hi\n")
    (tmp_path / "a.py").write_bytes(b"")
    # printf 'septum-app-1\na.py\0000\nb/c.txt\0003\nhi\n' | sha256sum
    assert digest_of(tmp_path) == "sha256:43277dd37a220fa690bb71efda43f8835d5e20257ea96601d91904f91be1e50d"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "app.py").write_text(APP + " "),
        lambda folder: (folder / "model.py").rename(folder / "models.py"),
        lambda folder: (folder / "new.txt").touch(),
        lambda folder: (folder / "late.py").unlink(),
        lambda folder: (folder / "sub" / "data").mkdir(parents=True) or (folder / "sub/data/x.py").touch(),
    ],
    ids=["bytes", "name", "empty file", "removed", "a deeper data folder"],
)
def test_every_change_of_the_app_changes_the_digest(folder: Path, change) -> None:
    before = digest_of(folder)
    change(folder)
    assert digest_of(folder) != before


def test_bytes_cannot_move_between_files_without_a_change_of_the_digest(tmp_path: Path) -> None:
    digests = set()
    for number, contents in enumerate([("ab", "c"), ("a", "bc"), ("", "abc")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in zip(("x", "y"), contents, strict=True):
            (folder / name).write_text(text)
        digests.add(digest_of(folder))
    assert len(digests) == 3


@pytest.mark.parametrize("target", ["model.py", "/etc", "nowhere"])
def test_a_symbolic_link_is_refused(folder: Path, target: str) -> None:
    (folder / "link.py").symlink_to(target)
    with pytest.raises(AppError, match=r"link.py: neither a file nor a folder"):
        digest_of(folder)


def test_a_folder_too_large_for_an_app_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_BYTES", 100)
    with pytest.raises(TooLargeError, match="100 bytes"):
        digest_of(folder)
    monkeypatch.setattr(package, "MAX_BYTES", 10**6)
    monkeypatch.setattr(package, "MAX_FILES", 3)
    with pytest.raises(TooLargeError, match="more than 3 files"):
        digest_of(folder)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"none: cannot be read: No such file"):
        digest_of(tmp_path / "none")


# --- import ---------------------------------------------------------------------------------------------------------


def test_an_app_loads_with_its_own_modules_and_leaves_sys_path_alone(folder: Path) -> None:
    path = list(sys.path)
    loaded = load_app(folder)
    assert loaded.app.name == "packed"
    assert loaded.manifest == read_manifest(folder)
    assert loaded.digest == digest_of(folder)
    assert sys.path == path
    assert "app" not in sys.modules
    assert "model" not in sys.modules
    assert loaded.app.predict_function({}, [1, 2]).tolist() == [0.0, 0.0]  # type: ignore[arg-type]
    assert not (folder / "__pycache__").exists()


def test_two_apps_with_modules_of_one_name_do_not_meet(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in folder.glob("*"):
        (other / path.name).write_bytes(path.read_bytes())
    edit(edit(other, '"packed"', '"other"', "app.py"), "zeros", "ones", "model.py")
    first, second = load_app(folder).app, load_app(other).app
    assert [app.initial_function(None, None, None)["w"][0] for app in (first, second)] == [0.0, 1.0]  # type: ignore[arg-type]


def test_an_edited_app_loads_as_it_is_now(folder: Path) -> None:
    load_app(folder)
    edit(folder, "zeros", "ones", "model.py")
    assert load_app(folder).app.initial_function(None, None, None)["w"][0] == 1.0  # type: ignore[arg-type]


def test_bytecode_beside_the_app_never_runs(folder: Path, tmp_path: Path) -> None:
    import py_compile

    evil = tmp_path / "evil.py"
    evil.write_text(MODEL.replace("zeros", "ones"))
    cache = folder / "__pycache__" / f"model.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(evil), cfile=str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
    )
    assert load_app(folder).app.initial_function(None, None, None)["w"][0] == 0.0  # type: ignore[arg-type]


def test_code_in_the_data_folder_is_not_part_of_the_app(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "model.py").write_text(MODEL)
    with pytest.raises(AppError, match="import raised ModuleNotFoundError"):
        load_app(edit(folder, "from .model", "from .data.model", "app.py"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def load(table, h):", "def load(table, h:", r"app.py: import raised SyntaxError"),
        ("from .model import start", "1 / 0", r"app.py: import raised ZeroDivisionError"),
        ('app = App("packed")', 'app = App("packed")\napplication = app\napp = 3', "object has no attribute"),
        ("@app.train\n", "", "app 'packed' has no @app.train"),
        ("@app.train\n", "@app.train\ndef one(p, data, h, ctx): ...\n\n@app.train\n", "@app.train is used twice"),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(AppError, match=message):
        load_app(edit(folder, old, new, "app.py"))


def test_a_module_of_the_app_imported_without_a_dot_gets_a_hint(folder: Path) -> None:
    with pytest.raises(AppError, match="No module named 'model'") as caught:
        load_app(edit(folder, "from .model", "from model", "app.py"))
    assert caught.value.hint == "write: from .model import ..."


def test_a_traceback_shows_the_apps_own_line(folder: Path) -> None:
    import traceback

    loaded = load_app(edit(folder, "return np.zeros(len(data))", "return 1 / 0  # the line", "late.py"))
    with pytest.raises(ZeroDivisionError) as caught:
        loaded.app.predict_function({}, [1])  # type: ignore[arg-type]
    shown = "".join(traceback.format_exception(caught.value))
    assert str(folder / "late.py") in shown
    assert "# the line" in shown


def test_a_module_knows_its_file(folder: Path) -> None:
    loaded = load_app(edit(folder, "np.zeros(1, np.float32)", "__file__", "model.py"))
    assert loaded.app.initial_function(None, None, None)["w"] == str(folder / "model.py")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "message"), [('"other:app"', "no other.py"), ('"app:nothing"', "'nothing' is NoneType, a septum.App")]
)
def test_an_entry_that_is_not_there_is_named(folder: Path, new: str, message: str) -> None:
    with pytest.raises(AppError, match=message):
        load_app(edit(folder, '"app:app"', new))


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("rounds = 11", r"\[presets.quick\]: hyper-parameter 'rounds' is 11; it must be a whole number from 1 to 10"),
        ("round = 2", r"\[presets.quick\]: app 'packed' has no hyper-parameter 'round'; did you mean 'rounds'\?"),
    ],
)
def test_a_preset_is_checked_like_any_override(folder: Path, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_app(edit(folder, "rounds = 2", new))


def test_a_manifest_must_list_all_that_leaves(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[leaves\]: it lists"):
        load_app(edit(folder, '"rows", ', ""))
    edit(folder, '["parameters", ', '["parameters", "rows", ')
    load_app(folder)
    statistics = textwrap.dedent("""
        from septum import stats
        app.statistics(stats.mean_and_std())
        """)
    (folder / "app.py").write_text(APP + statistics)
    with pytest.raises(ConfigError, match=r"what leaves a silo with this app is .*statistics"):
        load_app(folder)


def test_every_error_here_is_septums_own(folder: Path) -> None:
    (folder / "app.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeptumError):
        load_app(folder)
