"""Which deployed models does this silo have, and which of them predict? In `deployed/`, readable by its user alone.

    state.json     of each name the newest order, how far it got, and what is in use; written by the agent alone
    words.json     which names the steward accepted and refused; written by commands, read by the agent
    models/HEX     models by the digest that they were fetched and checked by
    work/          where the agent's own work on them lies: rows, the directory of the process that measures

Each is written whole or not at all, and is on the disk before anybody is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3

from septum.adapters.files import replace_file
from septum.errors import ConfigError, DigestError, NotFoundError, SeptumError, StorageError, did_you_mean
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.deploying import DeploymentOrder, DeployState
from septum.protocol.facts import Metrics
from septum.protocol.rights import check_name
from septum.silo.file_lock import folder_locked

FOLDER = "deployed"
MAX_STATE_BYTES = 4 * 2**20
MAX_WORDS_BYTES = 256 * 1024
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Held:
    """An order, and what became of it here.

    at       Unix time, seconds
    reason   why it is not used, as others are told
    why      the same with numbers, and what the gate measured: for this silo alone
    """

    order: DeploymentOrder
    state: DeployState
    at: float
    reason: str = ""
    why: str = ""
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a silo has under one name. `newest`: the last order; `active`: what predicts, which may be an older one."""

    newest: Held
    active: Held | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All of it, by name. `measured`: when models were measured within the last day, Unix time, seconds."""

    names: Mapping[str, Deployed] = field(default_factory=dict)
    measured: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """What the steward said of names, each in one list at most."""

    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class DeployedModels:
    """The deployed models of one silo."""

    def __init__(self, silo_dir: Path) -> None:
        self.silo_dir = silo_dir
        self.folder = silo_dir / FOLDER
        self.work = self.folder / "work"

    def state(self) -> State:
        """What the agent wrote last. Raises StorageError for a file that cannot be read."""
        path = self.folder / "state.json"
        try:
            return from_json(State, loads(path.read_bytes(), MAX_STATE_BYTES))
        except FileNotFoundError:
            return State()
        except (OSError, SeptumError) as error:
            raise _unreadable(path, error, f"rm {path}; the agent looks again at what is deployed") from error

    def save(self, state: State) -> None:
        """Write it, for the agent. Raises StorageError."""
        self._write("state.json", dumps(to_json(state)))

    def words(self) -> Words:
        """What the steward has said. Raises StorageError for a file that cannot be read."""
        path = self.folder / "words.json"
        try:
            return from_json(Words, loads(path.read_bytes(), MAX_WORDS_BYTES))
        except FileNotFoundError:
            return Words()
        except (OSError, SeptumError) as error:
            raise _unreadable(path, error, f"rm {path}, and say it again") from error

    def say(self, name: str, *, accept: bool) -> Words:
        """The steward accepts or refuses a name. Raises ConfigError, StorageError."""
        check_name(name, "model")
        with self._alone():
            before = self.words()
            accepted = tuple(sorted({*before.accepted, name} if accept else set(before.accepted) - {name}))
            refused = tuple(sorted(set(before.refused) - {name} if accept else {*before.refused, name}))
            after = replace(before, accepted=accepted, refused=refused)
            self._write("words.json", dumps(to_json(after)))
        return after

    def said_at(self) -> int:
        """Changes when the steward says something."""
        try:
            return os.stat(self.folder / "words.json").st_mtime_ns
        except OSError:
            return 0

    def active(self, name: str = "") -> Held:
        """What predicts under a name; without one the only one. Raises NotFoundError, ConfigError."""
        names = self.state().names
        known = {one: found.active for one, found in names.items() if found.active is not None}
        if not name and len(known) > 1:
            raise ConfigError(f"this silo uses several models: {', '.join(sorted(known))}", hint="--model NAME")
        name = name or next(iter(known or names), "")
        held = known.get(name)
        if held is not None:
            return held
        look = f"septum silo deploy list --dir {self.silo_dir}"
        if name in names:
            newest = names[name].newest
            told = newest.reason and f": {newest.reason}"
            raise NotFoundError(f"model {name!r} is {newest.state.value} here{told}", hint=look)
        nearest = f"; {did_you_mean(name, known)}" if name and known else ""
        asked = f"no model {name!r} is in use here" if name else "no deployed model is in use here"
        raise NotFoundError(f"{asked}{nearest}", hint=look)

    def path(self, digest: str) -> Path:
        """The file of a model, which may not be there."""
        return self.folder / "models" / digest.removeprefix("blake3:")

    def checked(self, digest: str) -> Path:
        """The file of a model, all of it read and compared. Raises NotFoundError, DigestError, StorageError."""
        path, hasher = self.path(digest), blake3()
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    hasher.update(block)
        except FileNotFoundError:
            raise NotFoundError(
                f"the model {digest} is not here", hint="the agent fetches it: septum silo start"
            ) from None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
        found = f"blake3:{hasher.hexdigest()}"
        if found != digest:
            raise DigestError(
                f"{path} was changed: its digest is {found}, not {digest}",
                hint=f"rm {path}; the agent fetches it again",
            )
        return path

    def sweep(self, state: State) -> None:
        """Remove the models that no name refers to any more."""
        held = [one for found in state.names.values() for one in (found.newest, found.active) if one is not None]
        wanted = {self.path(one.order.model.digest).name for one in held}
        for path in (self.folder / "models").glob("*"):
            if path.name.lstrip(".").partition(".")[0] not in wanted:
                path.unlink(missing_ok=True)

    def make(self) -> None:
        """Make the directories that are not there."""
        for folder in (self.folder, self.folder / "models", self.work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, content, durable=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {self.folder}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at one time must not undo each other."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder_locked(self.folder):
            yield


def _unreadable(path: Path, error: OSError | SeptumError, hint: str) -> StorageError:
    told = error.message if isinstance(error, SeptumError) else error.strerror
    return StorageError(f"{path}: {told}", hint=hint)
