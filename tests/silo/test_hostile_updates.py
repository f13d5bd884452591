"""An app that is written to get round what a plan bounds: its agent clips, out of the reach of its process."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.silo.scripted import ScriptedChannel
from tests.silo.test_session import Bench, model, reports

from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.ports.launcher import Level
from septum.protocol import tensors
from septum.protocol.messages import Blob, Train, blob_of
from septum.protocol.plan import digest_of
from septum.sdk.package import digest_of as app_digest

NORM = 0.5
WIDE = 30_000  # over what fits into a message
PREDICT = 'data.x @ p["w"][0]', 'data.x @ p["w"][0][:1]'

HOSTILE = """
for name, module in list(sys.modules.items()):
    if name.startswith("septum") and module is not None:
        for key in [key for key in vars(module) if key.startswith(("clip", "_clip", "shorten"))]:
            setattr(module, key, lambda update, *rest: (update, 0.0))
return {"w": p["w"] + np.float32(100)}
"""


def given(silo: Bench, width: int) -> Blob:
    """The base model, which the silo has to fetch if it is a large one."""
    data = model(width=width)
    if width == 1:
        return blob_of(data)
    silo.blobs[digest_of(data)] = data
    return Blob(digest_of(data), len(data))


def of_any_width(silo: Bench) -> Bench:
    """The silo with an app that takes models of any width, and a bound in its plan."""
    path = silo.app.path / "app.py"
    path.write_text(path.read_text().replace(*PREDICT))
    silo.app = replace(silo.app, digest=app_digest(silo.app.path), tree=app_digest(silo.app.path))
    silo.plan = replace(silo.plan, app=replace(silo.plan.app, digest=silo.app.digest), clip_norm=NORM)
    return silo


def sent(channel: ScriptedChannel) -> dict[str, np.ndarray]:
    """What left in the first report."""
    payload = reports(channel)[0].payload
    return tensors.decode(channel.blobs[payload.digest] if payload.inline is None else payload.inline)


@pytest.mark.processes
@pytest.mark.parametrize("width", [1, WIDE])
def test_an_app_that_takes_the_clip_out_of_its_process_sends_no_longer_update(tmp_path: Path, width: int) -> None:
    silo = of_any_width(Bench(tmp_path, HOSTILE))
    channel = silo.play(Train(1, 1, given(silo, width)), launcher=SubprocessLauncher(Level.PROCESS))
    update = sent(channel)["update.w"]
    assert update.shape == (width, 1)
    assert NORM * (1 - 1e-6) <= math.sqrt(math.fsum(float(x) ** 2 for x in update.ravel())) <= NORM
