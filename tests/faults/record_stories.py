"""What is written beside the runs while the coordinator is killed? Silos, packages, people, projects, models, logs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.faults.counting import ROWS, until
from tests.faults.dying import Kill, Remove, When
from tests.faults.kill_points import COORDINATOR_POINTS
from tests.faults.mortal import COMES_BY_S, Place, deaths, readies
from tests.faults.people_promises import PROMISES
from tests.faults.people_story import Peopled, live_in_projects
from tests.faults.run_stories import finished
from tests.folders import files_in
from tests.sdk.packaging import app_folder, built

from septum.adapters.identity.app_signatures import Signed, sign
from septum.adapters.identity.audit_key import witnessed
from septum.adapters.identity.keys import load_private_key
from septum.adapters.identity.roster_keys import verify
from septum.client import Client, operator_access
from septum.coordinator.areas import areas_of, models_area, silo_models_area
from septum.coordinator.service import run_id_of
from septum.errors import AppError, AuthError, ConnectionFailedError, NotFoundError
from septum.protocol.audit import EMPTY_HEAD, AuditFilter, HeadSeen, check_goes_on, check_signature
from septum.protocol.deploying import DeployState
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.feed import Kind
from septum.protocol.log_lines import LogFilter, LogView
from septum.protocol.registered import ModelStage
from septum.protocol.views import PrunedRun, RunStatus
from septum.silo.config import CONFIG_NAME, read_config
from septum.silo.line import KEY_NAME, open_line

DESCRIPTION = SiloDescription("0.1", "3.11", "Linux x86_64", 2, labels={"site": "a"})


def enrolling(place: Place, point: str) -> None:
    silo = f"new-{list(COORDINATOR_POINTS).index(point)}"
    place.fate.arm(*deaths(point))
    token = place.persist(lambda: place.client.invite(silo)).token
    folder = place.counting.folder / silo
    until(lambda: enroll(place, folder, token), f"{silo} enrols")
    with closing(open_line(folder, read_config(folder / CONFIG_NAME))) as line:
        for said in (DESCRIPTION, Standing(True, "maintenance")):
            place.persist(partial(line.tell, said))
    place.persist(lambda: place.client.revoke(silo))
    while place.fate.outstanding:  # the rest is written when the coordinator ends
        lives = len(readies(place))
        subprocess.run(["kill", "-TERM", str(readies(place)[-1].pid)], check=True)
        until(lambda lives=lives: len(readies(place)) > lives, "the coordinator is back")
    told = place.persist(lambda: place.client.silo(silo))
    assert (told.description, told.standing) == (DESCRIPTION, Standing(True, "maintenance"))
    known = {view.name: view for view in place.persist(place.client.silos)}
    assert known[silo].status.value == "revoked"
    until(lambda: all(view.seen_at > 0 for view in place.persist(place.client.silos) if view.name in ROWS), "all seen")


def enroll(place: Place, folder: Path, token: str) -> bool:
    where = ["--dir", str(folder), "--url", operator_access(place.federation.operator_dir).url]
    done = subprocess.run(
        [sys.executable, "-m", "septum", "silo", "enroll", *where],
        env={"SEPTUM_INVITATION": token, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, ConnectionFailedError.exit_code), done.stdout + done.stderr
    return done.returncode == 0


def pushing(place: Place, point: str) -> None:
    """A package that was pushed is whole, and signed; one that is not sound leaves nothing."""
    folder = place.counting.folder / f"pushed-{list(COORDINATOR_POINTS).index(point)}"
    version = f"1.0.{list(COORDINATOR_POINTS).index(point)}"
    package = built(app_folder(folder / "app", version=version), folder)
    unsound = package.path.read_bytes()[:-1]
    (folder / "unsound").write_bytes(unsound)
    what = Signed(package.name, package.version, package.digest)
    signatures = json.dumps([asdict(sign(what, Ed25519PrivateKey.generate()))])
    place.fate.arm(*deaths(point))
    place.persist(lambda: place.client.push_app(package.path, package.digest, signatures.encode()))
    with pytest.raises(AppError):
        place.persist(lambda: place.client.push_app(folder / "unsound", _digest_of(folder / "unsound")))
    known = {view.digest: view for view in place.persist(place.client.apps)}
    assert (known[package.digest].version, known[package.digest].signatures) == (version, signatures)
    kept = files_in(place.federation.operator_dir / "blobs" / "apps")
    assert {_digest_of(path) for path in kept} == set(known)
    assert len(kept) == len(known)
    for name in ("quick", "long"):
        place.persist(partial(place.client.set_preset, package.digest, name, {"rounds": 7}))
    with suppress(NotFoundError):  # of a repetition, when the answer was lost
        place.persist(lambda: place.client.drop_preset(package.digest, "quick"))
    assert place.persist(lambda: place.client.app(package.digest)).presets == {"long": {"rounds": 7}}
    place.persist(lambda: place.client.remove_app(package.digest))
    assert package.digest not in {view.digest for view in place.persist(place.client.apps)}
    assert [path for path in kept if path.exists() and _digest_of(path) == package.digest] == []


def peopling(place: Place, point: str) -> None:
    place.fate.arm(*deaths(point))
    access = operator_access(place.federation.operator_dir)
    here = Peopled(access, place.persist, place.provider, lambda: place.fate.outstanding)
    PROMISES[point](here, place.client.people, list(COORDINATOR_POINTS).index(point))


def grouping(place: Place, point: str) -> None:
    place.fate.arm(*deaths(point))
    access = operator_access(place.federation.operator_dir)
    here = Peopled(access, place.persist, place.provider, lambda: place.fate.outstanding)
    live_in_projects(here, list(COORDINATOR_POINTS).index(point))


def coming(place: Place, point: str) -> None:
    """A silo comes: that is told once, whoever dies meanwhile."""
    silo = f"comes-{list(COORDINATOR_POINTS).index(point)}"
    place.fate.arm(*deaths(point))
    folder = place.counting.folder / silo
    token = place.persist(lambda: place.client.invite(silo)).token
    until(lambda: enroll(place, folder, token), f"{silo} enrols")

    def told() -> list[Kind]:
        return [entry.change.kind for entry in reversed(place.persist(lambda: place.client.feed.page(silo=silo)))]

    with closing(open_line(folder, read_config(folder / CONFIG_NAME))) as line:

        def heard() -> bool:  # again and again: when it was seen last is in memory for some seconds
            place.persist(partial(line.tell, DESCRIPTION))
            return Kind.SILO_ONLINE in told()

        until(heard, f"{silo} is told to be there")
    while place.fate.outstanding:  # what is too old goes when the coordinator starts
        lives = len(readies(place))
        subprocess.run(["kill", "-TERM", str(readies(place)[-1].pid)], check=True)
        until(lambda lives=lives: len(readies(place)) > lives, "the coordinator is back")
    first, *rest = told()
    while rest[0] is first is Kind.SILO_INVITED:  # its answer was lost, so it was asked for again
        del rest[0]
    assert rest == [Kind.SILO_ENROLLED, Kind.SILO_ONLINE]


def recording(place: Place, point: str) -> None:
    """What was answered is recorded, and a head goes on from any that was seen before, whoever dies meanwhile."""
    silo = f"sees-{list(COORDINATOR_POINTS).index(point)}"
    folder = place.counting.folder / silo
    token = place.persist(lambda: place.client.invite(silo)).token
    until(lambda: enroll(place, folder, token), f"{silo} enrols")
    place.fate.arm(*deaths(point))
    seen, key, kept = EMPTY_HEAD, load_private_key(folder / KEY_NAME), False
    access = replace(operator_access(place.federation.operator_dir), token="another one")

    def ask_as_a_stranger() -> None:
        with closing(Client(access)) as stranger, pytest.raises(AuthError):
            stranger.people.people()

    with closing(open_line(folder, read_config(folder / CONFIG_NAME))) as line:
        while place.fate.outstanding or not kept:
            place.persist(ask_as_a_stranger)
            witness = witnessed(seen, silo, key, 1.0) if seen.size else None
            shown = place.persist(partial(line.compare_heads, HeadSeen(seen.size, witness)))
            kept = witness is not None
            if shown.head is not None:
                check_signature(shown.head, verify)
                check_goes_on(seen, shown.head.head, [bytes.fromhex(one) for one in shown.proof])
                seen = shown.head.head
    assert place.persist(lambda: place.client.audit.page(AuditFilter(kind="access.refused"), limit=1))
    assert any(one.silo == silo for one in place.persist(lambda: list(place.client.audit.countersignatures())))


def deploying(place: Place, point: str) -> None:
    """A version comes, is approved, deployed and retired, each once; what silos say of it is there."""
    run = place.submit("deploying", place.counting.plan("deploying", 1, {}))
    assert place.until_ended(run) is RunStatus.FINISHED
    name, models = f"model-{list(COORDINATOR_POINTS).index(point)}", place.client.registered
    place.fate.arm(*deaths(point))
    assert place.persist(lambda: models.register(run, name)).version.version == 1
    assert place.persist(lambda: models.approve(name, 1)).stage is ModelStage.APPROVED
    made = place.persist(lambda: models.deploy(name, 1, silos=tuple(ROWS)))
    id_ = made.deployment.id

    def heard() -> bool:  # their stewards have said nothing of the name
        states = place.persist(lambda: models.deployment(id_)).states
        return [one.told.state for one in states] == [DeployState.WAITING] * len(ROWS)

    until(heard, "every silo says that it waits")
    assert place.persist(lambda: models.version(name, 1)).stage is ModelStage.DEPLOYED
    assert place.persist(lambda: models.retire(name, 1)).stage is ModelStage.RETIRED
    assert [one.version.version for one in place.persist(lambda: models.versions(name))] == [1]
    assert place.persist(lambda: models.deployment(id_)).used_by == ()


def pruning(place: Place, point: str) -> None:
    """What is needed stays whoever dies meanwhile, and the rest goes: the newest models are, and one with a name."""
    number = list(COORDINATOR_POINTS).index(point)
    run = run_id_of(point)
    plan = place.counting.plan(point, 5, {"width": number}, keep_silo_models=True)
    assert place.submit(point, plan) == run
    assert place.until_ended(run) is RunStatus.FINISHED
    models = {one.round: one.digest for one in place.persist(lambda: place.client.models(run))}
    place.persist(lambda: place.client.registered.register(run, "pruned", round_=1))
    blobs = place.federation.operator_dir / "blobs"

    def rounds_there() -> set[int]:
        names = {path.name for path in files_in(blobs / models_area(run))}
        return {round_ for round_, digest in models.items() if digest.partition(":")[2] in names}

    def own() -> int:
        return len(files_in(blobs / silo_models_area(run)))

    assert rounds_there() == set(models) == {0, 1, 2, 3, 4, 5}
    kept = own()
    place.fate.arm(*deaths(point, run))

    def pruned(*, really: bool) -> tuple[PrunedRun, ...]:
        ask = partial(place.client.prune, newest=2, older_than_days=0, really=really)
        assert {1, 4, 5} <= rounds_there()
        return place.persist(ask).runs

    while place.fate.outstanding:
        pruned(really=True)
    assert pruned(really=False) == ()
    assert {1, 4, 5} <= rounds_there() < set(models)
    assert 0 < own() < kept


def shredding(place: Place, point: str) -> None:
    """Whoever dies meanwhile: nothing of the run is left, it is told once, and what is known of the run stays."""
    run = run_id_of(point)
    plan = place.counting.plan(point, 3, {"width": list(COORDINATOR_POINTS).index(point)}, keep_silo_models=True)
    assert place.submit(point, plan) == run
    assert place.until_ended(run) is RunStatus.FINISHED
    models = place.persist(lambda: place.client.models(run))
    blobs = place.federation.operator_dir / "blobs"

    def left() -> list[Path]:
        return files_in(*(blobs / area for area in areas_of(run)))

    assert left()
    place.fate.arm(*deaths(point, run if point.startswith("drop ") else ""))
    while place.fate.outstanding:
        place.persist(lambda: place.client.shred(run))
    assert place.persist(lambda: place.client.shred(run)).run.shredded_by == "operator"
    assert left() == []
    assert place.persist(lambda: place.client.models(run)) == models
    told = place.persist(lambda: place.client.feed.page(run=run, limit=1000))
    assert [entry.change.kind for entry in told].count(Kind.RUN_SHREDDED) == 1


def telling(place: Place, point: str) -> str:
    """Every line that a silo told of the run is there once, and none is missing."""
    run = run_id_of(point)
    kills: list[Kill | Remove] = [Kill(point, when) for when in (When.BEFORE, When.AFTER)]
    if point != "add lines of a log":  # what a start does
        kills.insert(0, Kill("commit: StageOpened train", When.AFTER, run))
    finished(place, point, place.counting.plan(point, 3, {}), kills)
    until(lambda: not place.fate.outstanding, "the story comes by", COMES_BY_S)
    for silo in ROWS:
        lines: list[LogView] = []

        def all_told(silo: str = silo, lines: list[LogView] = lines) -> bool:
            lines[:] = place.persist(lambda: place.client.logs.page(run, LogFilter(silo=silo), limit=1000))
            return any(line.text == "run_ended outcome=finished" for line in lines)

        until(all_told, f"{silo} has told all of {run}")
        said = [(line.at, line.text) for line in lines]
        assert len(said) == len(set(said))
        assert not [text for _, text in said if "missing" in text]
        rounds = [line.round for line in lines if line.text.startswith("working stage=train")]
        assert sorted(set(rounds)) == [1, 2, 3]
    until(lambda: bool(place.persist(place.client.loads.of_coordinator).points), "the machine is looked at")
    return run


def _digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
