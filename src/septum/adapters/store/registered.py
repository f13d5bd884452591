"""Where do versions of models and their deployments live? In the database. Port: ports/registered.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.known import need_groups, new_id
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import DEPLOYMENT_STATES, DEPLOYMENTS, MODEL_VERSIONS, RUNS, SILOS
from septum.errors import NotFoundError
from septum.protocol import registered
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.deploying import DeployState, Told
from septum.protocol.registered import Act, Deployment, ModelVersion, NewDeployment, SiloState, the_version

MAX_VERSION_BYTES = 1024 * 1024  # a plan of 1,000 silos is 40 kB

_VERSIONS = select(MODEL_VERSIONS.c.content).order_by(MODEL_VERSIONS.c.name, MODEL_VERSIONS.c.version)
_OF_NAME = select(MODEL_VERSIONS.c.content).where(MODEL_VERSIONS.c.name == bindparam("of_name"))
_ADD_VERSION = insert(MODEL_VERSIONS)
_SET_VERSION = (
    update(MODEL_VERSIONS)
    .where(MODEL_VERSIONS.c.name == bindparam("of_name"), MODEL_VERSIONS.c.version == bindparam("of_version"))
    .values(content=bindparam("content"))
)
_RUN = select(RUNS.c.id).where(RUNS.c.id == bindparam("run_id"))
_DEPLOYMENTS = select(DEPLOYMENTS).order_by(DEPLOYMENTS.c.id)
_DEPLOYMENT = select(DEPLOYMENTS.c.id).where(DEPLOYMENTS.c.id == bindparam("of_id"))
_DEPLOY = insert(DEPLOYMENTS)
_UNSAY = delete(DEPLOYMENT_STATES).where(
    DEPLOYMENT_STATES.c.deployment == bindparam("of_id"), DEPLOYMENT_STATES.c.silo == bindparam("of_silo")
)
_TELL = insert(DEPLOYMENT_STATES)
_STATES = (
    select(DEPLOYMENT_STATES)
    .where(DEPLOYMENT_STATES.c.deployment == bindparam("of_id"))
    .order_by(DEPLOYMENT_STATES.c.silo)
)
_SILOS = select(SILOS.c.name)


class SqlModelRegistry:
    """Versions and deployments in a database. See `ports.registered.ModelRegistry` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name and number."""
        with self._database.read() as connection:
            return [_version(text) for text in connection.scalars(_VERSIONS)]

    def register(self, version: ModelVersion) -> ModelVersion:
        """Know a version, whose number is given here."""
        with self._database.write() as connection:
            if connection.execute(_RUN, {"run_id": version.run}).first() is None:
                raise not_found("run", version.run, connection.scalars(select(RUNS.c.id)).all())
            named = _named(connection, version.name)
            new, known = registered.numbered(version, named)
            if not known:
                row = {"name": new.name, "version": new.version, "run_id": new.run, "content": _text(new)}
                connection.execute(_ADD_VERSION, row)
            return new

    def approve(self, name: str, version: int, act: Act, *, own: bool) -> ModelVersion:
        """Approve a version."""
        with self._database.write() as connection:
            return _change(connection, name, version, lambda found: registered.approve(found, act, own=own))

    def retire(self, name: str, version: int, act: Act) -> ModelVersion:
        """Retire a version."""
        with self._database.write() as connection:
            return _change(connection, name, version, lambda found: registered.retire(found, act))

    def deploy(self, wanted: NewDeployment, act: Act) -> Deployment:
        """Deploy a version; each deployment is a new one."""
        with self._database.write() as connection:
            registered.check_deployable(the_version(_named(connection, wanted.name), wanted.name, wanted.version))
            need_groups(connection, [wanted.group] if wanted.group else [])
            known = connection.scalars(_SILOS).all()
            silos = tuple(sorted(set(wanted.silos)))
            for silo in silos:
                if silo not in known:
                    raise not_found("silo", silo, known)
            row = {
                "name": wanted.name,
                "version": wanted.version,
                "silo_group": wanted.group,
                "silos": json.dumps(silos),
                "made_by": act.by,
                "made_at": act.at,
            }
            id_ = new_id(connection, _DEPLOY, row)
            return Deployment(id_, wanted.name, wanted.version, wanted.group, silos, act)

    def deployments(self) -> Sequence[Deployment]:
        """Every deployment, oldest first."""
        with self._database.read() as connection:
            return [_deployment(row) for row in connection.execute(_DEPLOYMENTS)]

    def tell(self, silo: str, told: Told, *, at: float) -> None:
        """Keep what a silo says of a deployment, in place of what it said before."""
        with self._database.write() as connection:
            if connection.execute(_DEPLOYMENT, {"of_id": told.deployment}).first() is None:
                raise NotFoundError(f"there is no deployment {told.deployment}", hint="septum model deployments")
            known = connection.scalars(_SILOS).all()
            if silo not in known:
                raise not_found("silo", silo, known)
            row = {
                "deployment": told.deployment,
                "silo": silo,
                "state": told.state.value,
                "reason": told.reason,
                "metrics": json.dumps(dict(told.metrics), sort_keys=True),
                "told_at": at,
            }
            connection.execute(_UNSAY, {"of_id": told.deployment, "of_silo": silo})
            connection.execute(_TELL, row)

    def states(self, deployment: int) -> Sequence[SiloState]:
        """What the silos said last of a deployment, by silo."""
        with self._database.read() as connection:
            return [_state(row) for row in connection.execute(_STATES, {"of_id": deployment})]


def _change(
    connection: Connection, name: str, version: int, change: Callable[[ModelVersion], ModelVersion]
) -> ModelVersion:
    before = the_version(_named(connection, name), name, version)
    after = change(before)
    if after != before:
        connection.execute(_SET_VERSION, {"of_name": name, "of_version": version, "content": _text(after)})
    return after


def _named(connection: Connection, name: str) -> list[ModelVersion]:
    return [_version(text) for text in connection.scalars(_OF_NAME, {"of_name": name})]


def _version(text: str) -> ModelVersion:
    return from_json(ModelVersion, loads(text.encode(), MAX_VERSION_BYTES))


def _text(version: ModelVersion) -> str:
    return dumps(to_json(version)).decode()


def _deployment(row: Row[Any]) -> Deployment:
    act = Act(row.made_by, row.made_at)
    return Deployment(row.id, row.name, row.version, row.silo_group, tuple(json.loads(row.silos)), act)


def _state(row: Row[Any]) -> SiloState:
    told = Told(row.deployment, DeployState(row.state), row.reason, json.loads(row.metrics))
    return SiloState(row.silo, told, row.told_at)
