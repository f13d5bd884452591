"""A federation whose coordinator seals what it keeps: killed in the middle, it ends with the model of any other.

Nothing of the models is readable in its data directory: neither while it is at work, nor after the kill.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.e2e.runs import APP, FILES, FOLDER, OPEN, Journal, a_plan, client_of, undisturbed
from tests.folders import files_in

from septum.adapters.sealing.segments import MARK
from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client
from septum.protocol.facts import ModelMade, RunEnded

pytestmark = pytest.mark.e2e


def readable(folder: Path, model: bytes) -> list[Path]:
    """Files in which 16 bytes of a model's numbers stand as they are."""
    numbers = model[model.index(b"}") :]
    pieces = [numbers[at : at + 16] for at in range(len(numbers) - 48, len(numbers) - 16, 4)]
    return files_with(folder, pieces)


def files_with(folder: Path, pieces: Collection[bytes]) -> list[Path]:
    return [path for path in files_in(folder) if any(one in path.read_bytes() for one in pieces)]


def sealing(federation: Federation, key: Path) -> Path:
    """The coordinator's directory, made so that it seals under a new key in this file."""
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    key.chmod(0o600)
    data = federation.operator_dir
    data.mkdir(mode=0o700, parents=True)
    (data / "coordinator.toml").write_text(f'[secrets]\nkey_file = "{key}"\n')
    return data


def test_a_killed_coordinator_that_seals_ends_with_the_same_model_and_shows_nothing_of_it(tmp_path: Path):
    base, key, plan = tmp_path / "federation", tmp_path / "secrets.key", a_plan(4)
    with Federation(base, FOLDER, APP.app.name, FILES, sandbox=1, policy=OPEN) as federation:
        data = sealing(federation, key)
        access = federation.start()
        with client_of(federation) as client:
            run = client.submit(plan, key="sealed")
            made = Journal(client, run).until(ModelMade)
            shown = saved(client, made.model.digest, tmp_path / "first")
        federation.kill(COORDINATOR)
        assert readable(tmp_path, shown) == [tmp_path / "first"]  # the search finds what is there
        blobs = [path for path in files_in(data / "blobs") if path.stat().st_size]
        assert blobs
        assert all(path.read_bytes().startswith(MARK) for path in blobs)
        federation.start_coordinator(int(access.url.rpartition(":")[2]))
        with client_of(federation) as client:
            Journal(client, run).until(RunEnded)
            model = client.run(run.id).model
            assert model == undisturbed(plan)
            assert readable(data, saved(client, model, tmp_path / "last")) == []


def saved(client: Client, digest: str, path: Path) -> bytes:
    client.download(digest, path)
    return path.read_bytes()
