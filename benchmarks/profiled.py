"""How does a process of the federation run under the profile? `python -m benchmarks.profiled ROLE FOLDER ARGUMENT...`.

The same programs with the functions below wrapped (spans.py). Which ones is the table that docs/benchmarks.md shows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import spans

FOLDER = "SEPTUM_PROFILE"  # tells a worker where its figures go
_COORDINATOR = "septum.coordinator"
_SILO = "septum.silo"

COORDINATOR: Mapping[str, str] = {
    f"{_COORDINATOR}.root:_Router.__call__": "http: handler around the rest",
    f"{_COORDINATOR}.silo_api:SiloApi.__call__": "http: handler around the rest",
    f"{_COORDINATOR}.silo_api:SiloApi._route": "http: route",
    f"{_COORDINATOR}.silo_api:SiloApi._signed_body": "http: read body, SHA-256",
    f"{_COORDINATOR}.silo_api:headers_of": "http: headers",
    f"{_COORDINATOR}.gate:Gate.verified": "signature: nonce, seen",
    f"{_COORDINATOR}.gate:verify": "signature: verify",
    f"{_COORDINATOR}.silo_api:decode_versioned": "report: decode JSON",
    f"{_COORDINATOR}.silo_api:SiloApi._answer": "http: hold, watch",
    f"{_COORDINATOR}.silo_api:encode": "instruction: encode JSON",
    f"{_COORDINATOR}.silo_api:send_body": "http: send answer",
    f"{_COORDINATOR}.silos:Silos.note": "http: note who was seen",
    f"{_COORDINATOR}.service:RunService.exchange": "report: service",
    f"{_COORDINATOR}.service:RunService._check_source": "report: check payload",
    f"{_COORDINATOR}.service:RunService._check_file": "report: check payload",
    f"{_COORDINATOR}.pipe:Pipe.send": "upload: into the pipe",
    f"{_COORDINATOR}.pipe:Pipe.__iter__": "upload: wait for bytes",
    f"{_COORDINATOR}.held:HeldRequests.hold": "http: hold, watch",
    f"{_COORDINATOR}.held:HeldRequests.release": "http: hold, watch",
    f"{_COORDINATOR}.driver:Driver._run": "driver: loop",
    f"{_COORDINATOR}.driver:Driver._step": "driver: step",
    f"{_COORDINATOR}.driver:step": "driver: run machine",
    f"{_COORDINATOR}.driver:Driver._answer": "driver: answer",
    f"{_COORDINATOR}.driver:instruction": "driver: instruction",
    f"{_COORDINATOR}.driver:Driver._commit": "driver: commit",
    f"{_COORDINATOR}.effects:Performer._in": "threads: there and back",
    f"{_COORDINATOR}.effects:Performer._combine": "threads: there and back",
    f"{_COORDINATOR}.combining:Combiner.combine": "combine: around the rest",
    f"{_COORDINATOR}.combining:_unmasker": "combine: join shares",
    "septum.protocol.masked_combine:sums": "combine: add up, unmask",
    "septum.protocol.combine:measured": "combine: metrics",
    "septum.protocol.combine:next_model": "combine: next model",
    "septum.adapters.blobs.directory:DirectoryBlobs.put": "files: write, digest, rename",
    "os:fsync": "files: fsync",
    "septum.adapters.store.runs:SqlRunStore.commit": "commit: BEGIN, COMMIT with its fsync",
    "septum.adapters.store.runs:_Prepared.of": "commit: JSON of state and facts",
    "septum.adapters.store.runs:_apply": "commit: statements",
}

AGENT: Mapping[str, str] = {
    f"{_SILO}.session:step": "silo machine",
    f"{_SILO}.session:Session._perform": "session: around the rest",
    f"{_SILO}.talking:Talk._note": "log",
    f"{_SILO}.talking:Talk._with_payload": "report: read payload file",
    f"{_SILO}.run_files:RunFiles.save": "files: save session",
    f"{_SILO}.run_files:RunFiles.model": "files: clear models",
    f"{_SILO}.run_files:RunFiles.tidy": "files: tidy",
    f"{_SILO}.masking:MaskedPart.answer": "masking: around the rest",
    f"{_SILO}.masking:MaskedPart.protect": "masking: quantise, mask, encode",
    f"{_SILO}.masking:MaskedPart._keys": "masking: around the rest",
    f"{_SILO}.masking:MaskedPart._share": "masking: around the rest",
    f"{_SILO}.roster_rule:RosterRule.keys": "masking: keys of the roster",
    "septum.secagg.silo:begin": "masking: R0, secrets and shares",
    "septum.secagg.silo:_share": "masking: R1, seal",
    "septum.secagg.silo:_mask": "masking: R2, open, derive",
    "septum.secagg.silo:_consent": "masking: R3, sign",
    "septum.secagg.silo:_reveal": "masking: R4, verify",
    f"{_SILO}.journal:Journal.release": "journal: write, fsync",
    f"{_SILO}.outgoing:take_over": "payload: check, rename",
    f"{_SILO}.outgoing:check": "payload: check",
    "septum.adapters.launch.subprocess:SubprocessWorker.perform": "worker: ask and wait",
    "septum.adapters.launch.subprocess:SubprocessWorker._take": "payload: receive, digest, write",
    "septum.adapters.launch.subprocess:send": "worker: frames",
    "septum.adapters.launch.subprocess:receive": "worker: frames",
    "septum.adapters.channel.https:HttpsChannel._call": "https: around the rest",
    "septum.adapters.channel.https:encode": "https: encode JSON",
    "septum.adapters.channel.https:decode": "https: decode JSON",
    "septum.adapters.channel.https:content_digest": "https: sign",
    "septum.adapters.identity.http_signatures:Ed25519Signer.headers": "https: sign",
    "septum.adapters.channel.http1:Line.send": "https: send",
    "septum.adapters.channel.http1:Line.answer": "https: wait, parse head",
    "septum.adapters.channel.http1:Answer.read": "https: read body",
    "septum.adapters.channel.https:HttpsChannel.fetch_blob": "model: fetch, digest, write",
    "septum.adapters.channel.http1:Answer.read_into": "model: receive",
}

WORKER: Mapping[str, str] = {
    f"{_SILO}.worker:receive": "frames: wait, decode",
    f"{_SILO}.worker:send": "frames: encode, send",
    f"{_SILO}.worker:_perform": "task: around the rest",
    "septum.adapters.launch.tasks:_read": "model: map, decode",
    f"{_SILO}.worker:send_pieces": "payload: send",
    "septum.adapters.launch.station:Station.train": "task: around the rest",
    "septum.sdk.harness:_call": "the app's own code",
    "septum.sdk.harness:train": "train: around the app",
    "septum.sdk.harness:evaluate": "evaluate: counts, ROC-AUC",
    "septum.sdk.harness:rng": "train: random generator",
}

TARGETS: Mapping[str, Mapping[str, str]] = {"coordinator": COORDINATOR, "agent": AGENT, "worker": WORKER}


def main(arguments: list[str]) -> None:
    """Run one role's program; `arguments` are the role, the folder for its figures, and the program's own."""
    role, folder, *rest = arguments
    if role == "worker":
        folder = os.environ[FOLDER]
    for missing in spans.install(TARGETS[role]):
        print(f"benchmarks/profiled.py names {missing}, which does not exist", file=sys.stderr)
    spans.watch_garbage()
    spans.dump_on_signal(Path(folder), role)
    {"coordinator": _coordinator, "agent": _agent, "worker": _worker}[role](folder, rest)


def _coordinator(folder: str, arguments: list[str]) -> None:
    del folder
    from septum.cli.main import main as command  # each role loads only what its program loads

    sys.exit(command(["coordinator", "start", "--json", *arguments]))


def _agent(folder: str, arguments: list[str]) -> None:
    from septum.adapters.launch import subprocess as launching
    from septum.adapters.launch.interpreter import environment_of_app
    from septum.cli.main import main as command

    launching.ENTRY = "benchmarks.profiled_worker"
    vars(launching)["environment_of_app"] = lambda home, ours: {**environment_of_app(home, ours), FOLDER: folder}
    sys.exit(command(["silo", "start", *arguments]))


def _worker(folder: str, arguments: list[str]) -> None:
    del folder
    from septum.silo.worker import main as serve

    serve(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
