"""What may silos and operators ask of the runs? The operations behind both APIs, and behind the in-memory channel."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from blake3 import blake3

from septum.coordinator.driver import Driver, invitation
from septum.coordinator.held import POLL, Held
from septum.coordinator.live import Live, revive
from septum.coordinator.spool import mark_of
from septum.errors import ConflictError, NotFoundError, ProtocolError
from septum.ports.store import JournalEntry
from septum.protocol.combine import Source, check, source_of
from septum.protocol.layout import Layout
from septum.protocol.messages import Instruction, Leave, Poll, PollAnswer, Prepare, Report, SiloMessage, Stage, Wait
from septum.protocol.plan import Plan
from septum.protocol.run import create
from septum.protocol.run_state import FromSilo, Note, Pause, Resume, Run, Stop
from septum.protocol.views import ModelView, RunView, models_of, newest_model, run_view
