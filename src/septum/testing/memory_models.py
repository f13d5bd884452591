"""What stands in for the database of registered models in a test? A fake that keeps the port's contract, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from septum.errors import NotFoundError
from septum.protocol import registered
from septum.protocol.deploying import Told
from septum.protocol.registered import Act, Deployment, ModelVersion, NewDeployment, SiloState


class MemoryModelRegistry:
    """Versions of models, and deployments, in memory. See `ports.registered.ModelRegistry` for the contract.

    `knows`: whether there is a run, a group or a silo of this name.
    """

    def __init__(self, knows: Callable[[str, str], bool] = lambda noun, name: True) -> None:  # noqa: ARG005
        self._knows = knows
        self._lock = threading.Lock()
        self._versions: dict[tuple[str, int], ModelVersion] = {}
        self._deployments: list[Deployment] = []
        self._states: dict[tuple[int, str], SiloState] = {}

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, by name and number."""
        with self._lock:
            return [one for _, one in sorted(self._versions.items())]

    def register(self, version: ModelVersion) -> ModelVersion:
        """Know a version, whose number is given here."""
        with self._lock:
            self._need("run", version.run)
            named = [one for (name, _), one in self._versions.items() if name == version.name]
            kept, _ = registered.numbered(version, named)
            self._versions[kept.name, kept.version] = kept
            return kept

    def approve(self, name: str, version: int, act: Act, *, own: bool) -> ModelVersion:
        """Approve a version."""
        with self._lock:
            return self._set(registered.approve(self._get(name, version), act, own=own))

    def retire(self, name: str, version: int, act: Act) -> ModelVersion:
        """Retire a version."""
        with self._lock:
            return self._set(registered.retire(self._get(name, version), act))

    def deploy(self, wanted: NewDeployment, act: Act) -> Deployment:
        """Deploy a version; each deployment is a new one."""
        with self._lock:
            registered.check_deployable(self._get(wanted.name, wanted.version))
            if wanted.group:
                self._need("group", wanted.group)
            silos = tuple(sorted(set(wanted.silos)))
            for silo in silos:
                self._need("silo", silo)
            made = Deployment(len(self._deployments) + 1, wanted.name, wanted.version, wanted.group, silos, act)
            self._deployments.append(made)
            return made

    def deployments(self) -> Sequence[Deployment]:
        """Every deployment, oldest first."""
        with self._lock:
            return list(self._deployments)

    def tell(self, silo: str, told: Told, *, at: float) -> None:
        """Keep what a silo says of a deployment, in place of what it said before."""
        with self._lock:
            if all(one.id != told.deployment for one in self._deployments):
                raise NotFoundError(f"there is no deployment {told.deployment}")
            self._need("silo", silo)
            self._states[told.deployment, silo] = SiloState(silo, told, at)

    def states(self, deployment: int) -> Sequence[SiloState]:
        """What the silos said last of a deployment, by silo."""
        with self._lock:
            return [one for (id_, _), one in sorted(self._states.items()) if id_ == deployment]

    def _get(self, name: str, version: int) -> ModelVersion:
        return registered.the_version(self._versions.values(), name, version)

    def _set(self, version: ModelVersion) -> ModelVersion:
        self._versions[version.name, version.version] = version
        return version

    def _need(self, noun: str, name: str) -> None:
        if not self._knows(noun, name):
            raise NotFoundError(f"there is no {noun} {name!r}")
