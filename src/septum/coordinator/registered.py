"""Which models were given a name, and which silos are to use which? As those may see and change them who ask."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from septum.coordinator.caller import Caller
from septum.coordinator.feed import Feed
from septum.coordinator.projects import Projects
from septum.coordinator.service import JOURNAL_PAGE, RunService
from septum.errors import ConfigError, ConnectionFailedError, NotFoundError
from septum.ports.blobs import OpenBlob
from septum.ports.clock import Clock
from septum.ports.groups import GroupStore
from septum.ports.registered import ModelRegistry
from septum.protocol.comparing import best_round, course_of
from septum.protocol.deploying import MAX_ORDERS, DeploymentOrder, DeploymentOrders, Told
from septum.protocol.facts import Fact
from septum.protocol.feed import Change, Kind
from septum.protocol.messages import Blob
from septum.protocol.model_card import LAST, lineage_of
from septum.protocol.registered import (
    Act,
    Deployment,
    DeploymentView,
    ModelStage,
    ModelVersion,
    ModelVersionView,
    NewDeployment,
    NewVersion,
    order_of,
    stage_of,
    the_version,
    used,
    version_of,
)
from septum.protocol.rights import Right, Scope, check_name
from septum.protocol.views import models_of

log = logging.getLogger("septum.coordinator.registered")

TOLD_AT_ONCE = 6  # words of one silo about one deployment: each is written to the disk
TOLD_EVERY_S = 10.0

T = TypeVar("T")
_Users = dict[int | tuple[str, int], tuple[str, ...]]  # of deployments and of versions


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds."""

    versions: tuple[ModelVersion, ...]
    deployments: tuple[Deployment, ...]


class Registered:
    """Versions of models, and their deployments. For the driver's event loop.

    A version lies where its run does: in the run's project and the project's organisations.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        service: RunService,
        projects: Projects,
        groups: GroupStore,
        feed: Feed,
        clock: Clock,
        *,
        approve_own: bool = False,
    ) -> None:
        self._registry = registry
        self._service = service
        self._projects = projects
        self._groups = groups
        self._feed = feed
        self._performer = feed.performer
        self._clock = clock
        self.approve_own = approve_own
        self._known: _Known | None = None  # each silo asks again and again
        self._changes = 0
        self._telling: Counter[tuple[str, int]] = Counter()
        self.keeping = asyncio.Lock()
        """Held while a version is registered, and while models are removed: none goes that was just given a name."""

    # --- people ------------------------------------------------------------------------------------------------------

    async def versions(
        self, caller: Caller, name: str = "", stages: Collection[ModelStage] = ()
    ) -> tuple[ModelVersionView, ...]:
        """Those that the caller may see, by name and number; of one `name`, and of these stages, or of all."""
        where = await self._projects.where(caller, Right.MODEL_READ)
        found = [one for one in await self._versions() if name in ("", one.name)]
        by = await self._used_by()
        seen = [_view(one, by) for one in found if where is None or one.project in where]
        return tuple(view for view in seen if not stages or view.stage in stages)

    async def version(self, name: str, version: int) -> ModelVersionView:
        """One of them. Raises NotFoundError."""
        return _view(the_version(await self._versions(), name, version), await self._used_by())

    async def scopes(self, name: str, version: int) -> tuple[Scope, ...]:
        """In what a version lies. Raises NotFoundError."""
        return await self._projects.scopes(the_version(await self._versions(), name, version).project)

    async def register(self, caller: Caller, run: str, wanted: NewVersion) -> ModelVersionView:
        """Give a run's model a name.

        Raises NotFoundError for a run or a round that has none, or whose file is gone; ConfigError.
        """
        check_name(wanted.name, "model")
        if wanted.round is not None and wanted.best is not None:
            raise ConfigError("a round and a metric: which model is meant?", hint="give one of them")
        plan, project = await self._service.plan(run), await self._service.project_of(run)
        if plan.query is not None:
            raise ConfigError(f"run {run} asks for statistics, and makes no model", hint="septum run list")
        facts = await self._facts(run)
        course = course_of(facts)
        round_ = LAST if wanted.round is None else wanted.round
        if wanted.best is not None:
            best = best_round({k: one for k, one in course.metrics.items() if k in course.models}, wanted.best)
            if best is None:
                raise NotFoundError(
                    f"no model of run {run} has a {wanted.best.value}",
                    hint=f"septum model list --run {run}",
                )
            round_ = best
        found = lineage_of(run, plan, course, round_)
        size_bytes = next(one.size_bytes for one in models_of(run, facts) if one.digest == found.model)
        new = version_of(found, wanted.name, Blob(found.model, size_bytes), project, self._act(caller))
        async with self.keeping:
            await self._service.check_model(run, found.model)
            change = Change(Kind.MODEL_REGISTERED, caller.name, run, project=project, model=wanted.name)
            kept = await self._changed(self._feed.write(change, self._registry.register, new))
        log.info("model_registered", extra={"model": kept.label, "run_id": kept.run, "by": caller.name})
        return _view(kept, await self._used_by())

    async def approve(self, caller: Caller, name: str, version: int) -> ModelVersionView:
        """Say that a version may be used. Raises NotFoundError, ConflictError, ForbiddenError for one's own."""
        act = self._act(caller)
        change = await self._change(Kind.MODEL_APPROVED, caller, name, version)
        kept = await self._changed(
            self._feed.write(change, self._registry.approve, name, version, act, own=self.approve_own)
        )
        log.info("model_approved", extra={"model": kept.label, "by": caller.name})
        return _view(kept, await self._used_by())

    async def retire(self, caller: Caller, name: str, version: int) -> ModelVersionView:
        """Let no silo use a version any more. Raises NotFoundError."""
        before = (await self.version(name, version)).used_by
        change = await self._change(Kind.MODEL_RETIRED, caller, name, version)
        kept = await self._changed(self._feed.write(change, self._registry.retire, name, version, self._act(caller)))
        self._release(before)
        log.warning("model_retired", extra={"model": kept.label, "by": caller.name})
        return _view(kept, await self._used_by())

    async def deploy(self, caller: Caller, wanted: NewDeployment) -> DeploymentView:
        """Let silos use a version. Raises NotFoundError, ConflictError for one that is not approved, ConfigError."""
        if bool(wanted.group) == bool(wanted.silos):
            raise ConfigError("a deployment is to a group or to silos", hint="--group GROUP, or --silo SILO")
        for silo in wanted.silos:
            names = {order.name for order in (await self.orders(silo)).items} | {wanted.name}
            if len(names) > MAX_ORDERS:
                raise ConfigError(f"silo {silo!r} is to use {MAX_ORDERS} models already", hint="septum model retire")
        change = await self._change(Kind.MODEL_DEPLOYED, caller, wanted.name, wanted.version)
        made = await self._changed(
            self._feed.write(replace(change, group=wanted.group), self._registry.deploy, wanted, self._act(caller))
        )
        view = await self.deployment(made.id)
        self._release(view.used_by)
        log.info(
            "model_deployed",
            extra={"model": f"{made.name} {made.version}", "deployment": made.id, "by": caller.name},
        )
        return view

    async def _change(self, kind: Kind, caller: Caller, name: str, version: int) -> Change:
        known = the_version(await self._versions(), name, version)
        return Change(kind, caller.name, known.run, project=known.project, model=known.label)

    async def deployments(self, caller: Caller, name: str = "") -> tuple[DeploymentView, ...]:
        """Those of versions that the caller may see, newest first; of one `name`, or of all."""
        seen = {(one.version.name, one.version.version) for one in await self.versions(caller, name)}
        found = (await self._all()).deployments
        by = await self._used_by()
        return tuple([await self._deployment(one, by) for one in reversed(found) if (one.name, one.version) in seen])

    async def deployment(self, id_: int) -> DeploymentView:
        """One of them, with what the silos said of it. Raises NotFoundError."""
        found = next((one for one in (await self._all()).deployments if one.id == id_), None)
        if found is None:
            raise NotFoundError(f"there is no deployment {id_}", hint="septum model deployments")
        return await self._deployment(found, await self._used_by())

    # --- silos -------------------------------------------------------------------------------------------------------

    async def orders(self, silo: str) -> DeploymentOrders:
        """What a silo is to use now."""
        orders = await self._orders(silo)
        return DeploymentOrders(tuple(sorted(orders, key=lambda one: one.name)[:MAX_ORDERS]))

    async def tell(self, silo: str, told: Told) -> None:
        """Keep what a silo says of a deployment that is meant for it. Raises NotFoundError."""
        states = await self._performer.read(self._registry.states, told.deployment)
        if any(one.silo == silo and one.told == told for one in states):
            return
        if all(order.deployment != told.deployment for order in await self._orders(silo)):
            raise NotFoundError(f"no deployment {told.deployment} is meant for silo {silo!r} now")
        self._take_turn(silo, told.deployment)
        await self._performer.write(self._registry.tell, silo, told, at=self._clock.unix())
        log.info(
            "deployment_told",
            extra={"silo": silo, "deployment": told.deployment, "state": told.state.value, "reason": told.reason},
        )

    @asynccontextmanager
    async def model_for(self, silo: str, digest: str) -> AsyncIterator[OpenBlob]:
        """A model that a silo is to use. Raises NotFoundError for any other."""
        runs = [order.run for order in await self._orders(silo) if order.model.digest == digest]
        if not runs:
            raise NotFoundError(f"no deployment for silo {silo!r} has the model {digest[:100]}")
        async with self._service.model(runs[0], digest) as opened:
            yield opened

    # --- the disk ----------------------------------------------------------------------------------------------------

    async def needed(self) -> frozenset[tuple[str, str]]:
        """Models that are not to be removed, each by its run's id and its digest."""
        return frozenset((one.run, one.model.digest) for one in await self._versions() if one.retired is None)

    async def kept_of(self, run: str) -> tuple[str, ...]:
        """The versions of a run's models that are not retired, by name and number."""
        return tuple(one.label for one in await self._versions() if one.run == run and one.retired is None)

    def _take_turn(self, silo: str, deployment: int) -> None:
        turn = (silo, deployment)
        if self._telling[turn] >= TOLD_AT_ONCE:
            raise ConnectionFailedError(
                f"silo {silo!r} speaks of deployment {deployment} too often", hint="it is said again by itself"
            )
        self._telling[turn] += 1
        asyncio.get_running_loop().call_later(TOLD_EVERY_S, self._forget_turn, turn)

    def _forget_turn(self, turn: tuple[str, int]) -> None:
        self._telling[turn] -= 1
        if self._telling[turn] <= 0:
            del self._telling[turn]

    def _release(self, silos: Iterable[str]) -> None:
        """Their agents ask again at once, and so hear of it."""
        for silo in silos:
            self._service.release(silo)

    def _act(self, caller: Caller) -> Act:
        return Act(caller.name, self._clock.unix())

    async def _versions(self) -> tuple[ModelVersion, ...]:
        return (await self._all()).versions

    async def _all(self) -> _Known:
        """What the store holds, from memory where nothing has changed since it was read."""
        if self._known is not None:
            return self._known
        changes = self._changes
        versions = tuple(await self._performer.read(self._registry.versions))
        known = _Known(versions, tuple(await self._performer.read(self._registry.deployments)))
        if self._changes == changes:  # else it may have been read before a change was written
            self._known = known
        return known

    async def _changed(self, write: Coroutine[object, object, T]) -> T:
        """Write, and forget what was read once it is written: whoever asked for it may have gone away meanwhile."""
        task = asyncio.ensure_future(write)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, _: object) -> None:
        self._changes += 1
        self._known = None

    async def _used(self) -> tuple[dict[int, tuple[str, ...]], dict[int, Deployment]]:
        known = await self._all()
        deployments = known.deployments
        if not deployments:
            return {}, {}
        groups = {one.name: one.silos for one in await self._performer.read(self._groups.groups)}
        return used(deployments, known.versions, groups), {one.id: one for one in deployments}

    async def _used_by(self) -> _Users:
        """The silos of each deployment, by its number, and of each version, by its name and number."""
        found, deployments = await self._used()
        result: _Users = {}
        for id_, silos in found.items():
            result[id_] = silos
            key = (deployments[id_].name, deployments[id_].version)
            result[key] = tuple(sorted({*result.get(key, ()), *silos}))
        return result

    async def _orders(self, silo: str) -> list[DeploymentOrder]:
        found, deployments = await self._used()
        mine = [deployments[id_] for id_, silos in found.items() if silo in silos]
        versions = {(one.name, one.version): one for one in await self._versions()} if mine else {}
        return [order_of(one, versions[one.name, one.version]) for one in mine]

    async def _deployment(self, one: Deployment, by: _Users) -> DeploymentView:
        states = await self._performer.read(self._registry.states, one.id)
        return DeploymentView(one, by.get(one.id, ()), tuple(states))

    async def _facts(self, run: str) -> list[Fact]:
        facts: list[Fact] = []
        after = 0
        while entries := await self._service.journal(run, after=after, limit=JOURNAL_PAGE):
            facts += [entry.fact for entry in entries]
            after = entries[-1].seq
        return facts


def _view(version: ModelVersion, by: _Users) -> ModelVersionView:
    users = by.get((version.name, version.version), ())
    return ModelVersionView(version, stage_of(version, users), users)
