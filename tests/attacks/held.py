"""What does a coordinator get to know of its silos? All that they send it, in a run by the shipped code of both sides.

What is kept here is what came over the channel, whatever the coordinator writes to its disk or drops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.in_memory import Place

from septum.ports.channel import Channel
from septum.protocol.messages import Instruction, Masked, PollAnswer, Report, SiloMessage, Stage
from septum.protocol.plan import Plan
from septum.sdk.package import load_app


@dataclass
class Held:
    """What silos sent: every message, and every file."""

    messages: list[tuple[str, SiloMessage]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def payloads(self, stage: Stage, round_: int = 1) -> dict[str, bytes]:
        """What each silo sent as its result for a stage, plain or masked; the newest, if it sent several."""
        return {
            silo: self.files[message.payload.digest] if message.payload.inline is None else message.payload.inline
            for silo, message in self.messages
            if isinstance(message, Report | Masked) and (message.stage, message.round) == (stage, round_)
        }


class _Overheard:
    """A silo's channel, of which is kept what goes out."""

    def __init__(self, silo: str, channel: Channel, held: Held) -> None:
        self._silo, self._channel, self._held = silo, channel, held

    def poll(self, serving: Sequence[str]) -> PollAnswer:
        return self._channel.poll(serving)

    def exchange(self, run: str, message: SiloMessage) -> Instruction:
        self._held.messages.append((self._silo, message))
        return self._channel.exchange(run, message)

    def send_blob(self, run: str, digest: str, path: Path) -> None:
        self._held.files[digest] = path.read_bytes()
        self._channel.send_blob(run, digest, path)

    def fetch_blob(self, run: str, digest: str, path: Path, *, size_bytes: int) -> None:
        self._channel.fetch_blob(run, digest, path, size_bytes=size_bytes)

    def close(self) -> None:
        self._channel.close()


@dataclass(frozen=True)
class Ended:
    """The last model of a run, and what its coordinator was sent."""

    model: bytes
    held: Held


def run_overheard(plan: Plan, app_dir: Path, files: Mapping[str, Path], folder: Path) -> Ended:
    """Let silos with these files do what the plan says; everything on disk is in `folder`."""
    held, names = Held(), iter(files)  # a place makes the channels in the order of its files
    place = Place(
        load_app(app_dir), app_dir, files, folder, channel=lambda channel: _Overheard(next(names), channel, held)
    )
    ended, model = place.run(plan)
    assert model, ended.reason
    return Ended(model, held)
