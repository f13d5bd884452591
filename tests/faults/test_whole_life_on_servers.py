"""The tutorial's whole life on PostgreSQL and S3: two coordinators, each with its own directory.

One is killed in the middle of a run, one while it removes the files of a run that is shredded.
Its commands are typed as they stand; only the coordinator is started in another way, behind a plain TCP balancer. The
second one is given what docs/how-to/use-s3.md says, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.balancer import Balancer
from tests.e2e.test_tutorial import COMMANDS, WAITS
from tests.e2e.typed_page import LIMIT_S, page, said_by, typed
from tests.faults.counting import until
from tests.postgres_server import Server
from tests.s3_server import ALONE, S3, opened

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3 * LIMIT_S)]

COPIED = r"rsync -a ((?:--exclude \S+ )+)first:/var/lib/septum/coordinator/"
OBJECTS = "what is in S3 at the end"
KILLED_AFTER = 4  # models that the first coordinator makes
BEGINS = "septum coordinator start"
SECOND_WAITS = "until grep -q coordinator_waits {log}; do sleep 0.1; done"
READY = """until grep -q '"event": "ready"' {log}; do sleep 0.1; done"""


def copying() -> str:
    """As the how-to has it, from one folder to another on this machine."""
    (excluded,) = re.findall(COPIED, page("how-to/use-s3.md"))
    names = [word.strip("'") for word in excluded.split() if word != "--exclude"]
    left_out = " ".join(f"--exclude=./{name}" for name in names)
    return f"mkdir -m 700 consortium-2 && tar -C consortium -c {left_out} . | tar -C consortium-2 -x"


def commands(port: int, settings: str) -> list[str]:
    """The story: the tutorial's, with another beginning, and what only several machines have at its end."""
    story = [one.replace("localhost:8443", f"localhost:{port}") for one in COMMANDS]
    (begins,) = [number for number, one in enumerate(story) if one.startswith(BEGINS)]
    started = "septum coordinator start --json --listen 127.0.0.1:0 --data-dir"
    story[begins : begins + 1] = [
        f"mkdir -m 700 consortium && printf %s {shlex.quote(settings)} > consortium/coordinator.toml",
        f"{started} consortium > coordinator.log 2>&1 & echo $! > coordinator.pid",
        copying(),
        f"{started} consortium-2 > coordinator-2.log 2>&1 & second=$!",
    ]
    revokes = story.index("as olga septum silo revoke switzerland")
    story.insert(revokes, "as rosa septum run clone first --name undisturbed --watch")
    environment = [f"export {name}={shlex.quote(value)}" for name, value in ALONE.items()]
    return [
        *environment,
        *story,
        "as rosa septum run show first --json",
        "as rosa septum run show undisturbed --json",
        f"{started} consortium > coordinator-3.log 2>&1 & echo $! > coordinator-3.pid",
        "kill -TERM $second && wait $second",
        "as rosa septum model download --run faster --best --out again.safetensors",
        "cmp best.safetensors again.safetensors",
        "as olga septum audit verify",
        "septum coordinator backup --json backup --data-dir consortium",  # whose models are in S3 alone
        "as olga septum run shred undisturbed --yes || true",  # its coordinator is killed meanwhile
        f"{started} consortium-2 > coordinator-4.log 2>&1 &",
        "as olga septum run shred undisturbed --yes",
        "as rosa septum model download --run undisturbed --best --out gone.safetensors 2>&1 || true",
        "as rosa septum model download --run first --best --out there.safetensors",
        "as olga septum audit export audit.jsonl",
    ]


def waits() -> dict[str, str]:
    begins = "septum coordinator start --json --listen 127.0.0.1:0 --data-dir"
    return {
        **{begin: wait for begin, wait in WAITS.items() if begin != BEGINS},
        f"{begins} consortium > coordinator.log": READY.format(log="coordinator.log"),
        f"{begins} consortium-2 > coordinator-2.log": SECOND_WAITS.format(log="coordinator-2.log"),
        f"{begins} consortium > coordinator-3.log": SECOND_WAITS.format(log="coordinator-3.log"),
        "kill -TERM $second": READY.format(log="coordinator-3.log"),
        f"{begins} consortium-2 > coordinator-4.log": READY.format(log="coordinator-4.log"),
    }


def until_logged(log: Path, line: str, times: int) -> None:
    until(lambda: log.exists() and log.read_text().count(line) >= times, f"{times} of {line} in {log.name}", LIMIT_S)


def kill_in_the_middle(folder: Path, killed: list[int]) -> None:
    """The first coordinator, once it has made some models; the third, once it has deleted what opens a run's files."""
    for name, event, times in (("coordinator", "combined", KILLED_AFTER), ("coordinator-3", "run_shredded", 1)):
        until_logged(folder / f"{name}.log", f'"event": "{event}"', times)
        pid = int((folder / f"{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole-life")


@pytest.fixture(scope="module")
def told(home: Path, postgres: Server, s3: S3) -> dict[str, str]:
    """What each command printed."""
    place, folder, killed = s3.place(), home / "tutorial", []
    logs = [folder / f"{name}.log" for name in ("coordinator", "coordinator-2", "coordinator-3", "coordinator-4")]
    with postgres.database() as database, closing(Balancer(logs)) as balancer:
        settings = (
            f'url = "https://localhost:{balancer.port}"\n'
            f'[store]\nurl = "{postgres.url(database)}"\nstandby = true\n'
            f'[blobs]\nbucket = "{place.bucket}"\nprefix = "{place.prefix}"\nendpoint = "{place.endpoint}"\n'
            f'region = "{place.region}"\n'
        )
        threading.Thread(target=kill_in_the_middle, args=(folder, killed), daemon=True).start()
        told = typed(commands(balancer.port, settings), home, waits())
        assert len(killed) == 2, "two were to be killed"
        with opened(place) as bucket:
            told[OBJECTS] = "\n".join(key for key, _ in bucket.sizes())
        return told


def of_run(told: dict[str, str], name: str) -> dict[str, object]:
    return json.loads(said_by(told, f"run show {name} --json"))["data"]


def test_a_run_whose_coordinator_was_killed_ends_at_the_model_that_an_undisturbed_one_ends_at(told):
    first, undisturbed = of_run(told, "first"), of_run(told, "undisturbed")
    assert (first["status"], first["finished_rounds"]) == ("finished", 15)
    assert first["model"] == undisturbed["model"]
    assert first["model"]


def test_life_goes_on_at_the_second_coordinator(told):
    assert "masked: the coordinator learns sums over 4 silos" in said_by(told, "--name first")
    assert re.search(r"heart .*active", said_by(told, "deploy list"))
    assert len(said_by(told, "cat predictions.csv").strip().splitlines()) == 3


def test_the_audit_log_of_three_lives_holds(told):
    assert "audit log holds: " in said_by(told, "audit verify")


def test_a_backup_has_what_is_in_s3_alone(told, home):
    first = of_run(told, "first")
    model, area = str(first["model"]).removeprefix("blake3:"), f"models-{first['id']}"
    backup = home / "tutorial" / "backup" / "blobs" / area
    assert (backup / model[:2] / model).exists()
    assert not (home / "tutorial" / "consortium" / "blobs" / area / model[:2] / model).exists()
    assert '"missing": []' in said_by(told, "coordinator backup")


def test_of_a_shredded_run_whose_coordinator_was_killed_meanwhile_nothing_is_left_and_the_other_runs_are(told, home):
    shredded, first = str(of_run(told, "undisturbed")["id"]), str(of_run(told, "first")["id"])
    assert told["as olga septum run shred undisturbed --yes"].count("was shredded by admin") == 1
    assert "was shredded by admin" in said_by(told, "--out gone.safetensors")
    kept = told[OBJECTS].splitlines() + [str(path) for path in (home / "tutorial" / "consortium-2").rglob("*")]
    assert [one for one in kept if shredded in one] == []
    assert [one for one in told[OBJECTS].splitlines() if one.startswith(f"models-{first}/")]
    assert (home / "tutorial" / "there.safetensors").stat().st_size
    audit = [json.loads(line) for line in (home / "tutorial" / "audit.jsonl").read_text().splitlines()]
    assert len([one for one in audit if shredded in str(one) and "run.shredded" in str(one)]) == 1


def test_the_directories_share_nothing(told, home):
    first, second = home / "tutorial" / "consortium", home / "tutorial" / "consortium-2"
    assert (first / "audit-key.pem").read_bytes() == (second / "audit-key.pem").read_bytes()
    assert not (second / "septum.sqlite").exists()
    assert list((second / "blobs").glob("models-*/*/*"))
    emptied = (home / "tutorial" / "coordinator-3.log").read_text()
    assert '"event": "s3_cache_emptied"' in emptied
