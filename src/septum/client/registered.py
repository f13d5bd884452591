"""How does a program ask about registered models and deployments? Part of `Client`, as `client.registered`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from septum.client.wire import Ask, all_of
from septum.protocol.codec import from_json, to_json
from septum.protocol.plan import Metric
from septum.protocol.registered import DeploymentView, ModelStage, ModelVersionView, NewDeployment, NewVersion


class RegisteredClient:
    """The public API's versions of models and their deployments. Each method raises what the coordinator answered."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def versions(
        self, name: str = "", stages: Sequence[ModelStage] = (), *, text: str = ""
    ) -> tuple[ModelVersionView, ...]:
        """Those that one may see, by name and number; of one name, of these stages, with `text` in their name."""
        wanted = [one.value for one in stages]
        return all_of(ModelVersionView, self._ask, "/models/versions", name=name, stage=wanted, q=text)

    def version(self, name: str, version: int) -> ModelVersionView:
        """One of them. Raises NotFoundError."""
        return from_json(ModelVersionView, self._ask("GET", _path(name, version)))

    def register(
        self, run: str, name: str, *, round_: int | None = None, best: Metric | None = None
    ) -> ModelVersionView:
        """Give a run's model a name: of a round, the best by a metric, or else the newest."""
        wanted = NewVersion(name, round_, best)
        return from_json(
            ModelVersionView, self._ask("POST", f"/models/versions?run={quote(run, safe='')}", to_json(wanted))
        )

    def approve(self, name: str, version: int) -> ModelVersionView:
        """Say that a version may be used. Raises ForbiddenError for one's own, ConflictError for a retired one."""
        return from_json(ModelVersionView, self._ask("POST", f"{_path(name, version)}/approve"))

    def retire(self, name: str, version: int) -> ModelVersionView:
        """Let no silo use a version any more. Raises NotFoundError."""
        return from_json(ModelVersionView, self._ask("POST", f"{_path(name, version)}/retire"))

    def deploy(self, name: str, version: int, *, group: str = "", silos: Sequence[str] = ()) -> DeploymentView:
        """Let the silos of a group, or those that are named, use a version. Raises ConflictError, NotFoundError."""
        wanted = NewDeployment(name, version, group, tuple(silos))
        return from_json(DeploymentView, self._ask("POST", "/deployments", to_json(wanted)))

    def deployments(self, name: str = "") -> tuple[DeploymentView, ...]:
        """Those that one may see, newest first; of one name, or of all."""
        return all_of(DeploymentView, self._ask, "/deployments", name=name)

    def deployment(self, id_: int) -> DeploymentView:
        """One of them. Raises NotFoundError."""
        return from_json(DeploymentView, self._ask("GET", f"/deployments/{id_}"))


def _path(name: str, version: int) -> str:
    return f"/models/versions/{quote(name, safe='')}/{version}"
