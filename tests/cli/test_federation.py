"""A whole federation with nothing but commands, in real processes."""

import json
import signal
import subprocess
import sys

import pytest

from septum.protocol.plan import digest_of

pytestmark = pytest.mark.e2e
SEPTUM = (sys.executable, "-m", "septum.cli.main")


@pytest.fixture
def service(home):
    """Start a command that runs until it is told to end. Its standard error goes into a file."""
    running = []

    def start(*arguments):
        log = (home / f"log-{len(running)}").open("w")
        process = subprocess.Popen([*SEPTUM, *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_federation_is_made_of_commands_alone_also_with_relative_directories(
    service, process, example, home, monkeypatch
):
    coordinator = service("coordinator", "start", "--data-dir", "c", "--listen", "127.0.0.1:0", "--json")
    ready = json.loads(coordinator.stdout.readline())
    monkeypatch.setenv("SEPTUM_OPERATOR_FILE", ready["operator_file"])
    silos = []
    for name in ("cleveland", "long-beach-va"):
        invited = process("silo", "invite", name, "--json").envelope["data"]
        data = f"heart-disease={example / 'data' / f'{name}.data'}"
        enrolled = process(
            *(
                "silo",
                "enroll",
                "--url",
                invited["url"],
                "--dir",
                name,
                "--app",
                f"heart-disease={example}",
                "--data",
                data,
            ),
            SEPTUM_INVITATION=invited["token"],
        )
        assert enrolled.code == 0, enrolled.err
        config = home / "work" / name / "silo.toml"
        opened = config.read_text().replace("require_masking = true", "require_masking = false")
        config.write_text(opened.replace("min_cohort = 3", "min_cohort = 2"))
        silos.append(service("silo", "start", "--dir", name))
    watched = process("run", "submit", example, "--inspect", "--rounds", "2", "--watch", "--json")
    assert watched.code == 0, watched.out
    run = watched.envelope["data"]
    assert (run["status"], run["finished_rounds"]) == ("finished", 2)
    assert process("model", "download", "--run", run["id"], "-o", "m.safetensors").code == 0
    assert digest_of((home / "work" / "m.safetensors").read_bytes()) == run["model"]
    assert process("doctor").code == 0
    for ending in (*silos, coordinator):
        ending.send_signal(signal.SIGTERM)
        assert ending.wait(timeout=30) == 0
    assert json.loads(coordinator.stdout.read())["status"] == "ok"
