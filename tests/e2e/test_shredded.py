"""A run is shredded in a federation of real processes: with all that anybody may have kept but its salt, nothing opens.

Kept from before: the whole folder of blobs, the master key, secrets.json. From now: the database. The other run opens.
"""

from __future__ import annotations

import base64
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.runs import APP, FILES, FOLDER, OPEN, Journal, a_plan, client_of
from tests.e2e.test_sealed import files_with, readable, sealing

from septum.adapters.blobs.writing import digest_of_source
from septum.adapters.sealing.holders import from_file
from septum.adapters.sealing.keys import Keys, run_key
from septum.adapters.sealing.ring import open_ring
from septum.adapters.sealing.segments import FileKey, is_sealed, open_sealed
from septum.adapters.store.open import DATABASE_NAME
from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client
from septum.coordinator.areas import run_of
from septum.errors import DigestError, NotFoundError
from septum.protocol.facts import RunEnded

pytestmark = pytest.mark.e2e


def salts(data: Path) -> dict[str, bytes]:
    """As the database has them now, while the coordinator is at work."""
    with closing(sqlite3.connect(f"file:{data / DATABASE_NAME}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT run_id, salt FROM run_keys").fetchall())


def opens(path: Path, keys: Keys) -> bool:
    with path.open("rb") as file:
        assert is_sealed(file.fileno())
        try:
            key = keys.of(path.parts[-3], file.fileno())
            opened = open_sealed(file.fileno(), key, bytes.fromhex(path.name), path)
            return digest_of_source(opened.source).raw.hex() == path.name
        except DigestError:
            return False


def tries(common: FileKey, run: str, known: dict[str, bytes]) -> Iterator[Keys]:
    """All that somebody may try: the common key, and a key of the run from any salt that there is."""

    def own(salt: bytes) -> Callable[[str], FileKey]:
        return lambda _: run_key(common, run, salt)

    yield Keys(common)
    for salt in (b"", bytes(32), *known.values()):
        yield Keys(common, own(salt))


def ended(client: Client, plan: object, key: str) -> str:
    run = client.submit(plan, key=key)  # type: ignore[arg-type]
    Journal(client, run).until(RunEnded)
    return run.id


def test_nothing_of_a_shredded_run_opens_whatever_was_kept_and_the_other_run_is_as_before(tmp_path: Path) -> None:
    base, key, copy, before = (tmp_path / name for name in ("federation", "secrets.key", "copy", "before"))
    with Federation(base, FOLDER, APP.app.name, FILES, sandbox=1, policy=OPEN) as federation:
        data = sealing(federation, key)
        access = federation.start()
        with client_of(federation) as client:
            run, other = ended(client, a_plan(3), "shredded"), ended(client, replace(a_plan(3), seed=99), "kept")
            models = {name: [one.digest for one in client.models(name)] for name in (run, other)}
            shown = [saved(client, digest, run, before / digest[-8:]) for digest in models[run]]
            was = salts(data)
            shutil.copytree(data / "blobs", copy / "blobs")
            shutil.copy(data / "secrets.json", copy)
            shutil.copy(key, copy / "master.key")
            common = FileKey(open_ring(copy, from_file(copy / "master.key")).blobs)  # type: ignore[union-attr]
            kept = {name: [path for path in _blobs(copy) if run_of(path.parts[-3]) == name] for name in (run, other)}
            assert all(len(kept[name]) >= len(models[name]) for name in kept)
            for name in kept:  # what shows below that it does not open, opens now
                assert all(opens(path, Keys(common, own_of(common, was))) for path in kept[name])
            secret = was[run]
            pieces = (secret, secret.hex().encode(), base64.b64encode(secret)[:40])
            assert files_with(data, pieces)

            found = client.shred(run)
            assert found.under_key

            now = salts(data)
            assert now == {run: b"", other: was[other]}
            assert files_with(data, pieces) == []
            for keys in tries(common, run, now):
                assert not any(opens(path, keys) for path in kept[run])
            assert all(opens(path, Keys(common, own_of(common, now))) for path in kept[other])
            assert [path for path in _blobs(data) if run_of(path.parts[-3]) == run] == []
            for model in shown:
                header = model[8 : 8 + int.from_bytes(model[:8], "little")]
                assert files_with(base / COORDINATOR, (header,)) == files_with(copy, (header,)) == []
                assert readable(data, model) == readable(copy, model) == []
            assert readable(before, shown[-1])  # the search finds what is there
        federation.kill(COORDINATOR)
        federation.start_coordinator(int(access.url.rpartition(":")[2]))
        with client_of(federation) as client:
            for digest in models[other]:
                saved(client, digest, other, tmp_path / "after" / digest[-8:])
            with pytest.raises(NotFoundError, match=f"run {run} was shredded by"):
                client.download(models[run][-1], tmp_path / "gone", run=run)
        assert files_with(data, pieces) == []


def own_of(common: FileKey, known: dict[str, bytes]) -> Callable[[str], FileKey | None]:
    return lambda area: run_key(common, run_of(area), known[run_of(area)]) if run_of(area) in known else None


def _blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").glob("*/*/*") if path.is_file()]


def saved(client: Client, digest: str, run: str, path: Path) -> bytes:
    path.parent.mkdir(exist_ok=True)
    client.download(digest, path, run=run)
    return path.read_bytes()
