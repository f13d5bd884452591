"""How a program asks the coordinator: the public API as methods that return frozen views.

One `Client` serves one thread. Only `watch` tries again by itself; `submit` may be repeated with the same key and
submits once.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self, TypeVar
from urllib.parse import quote

import httpx

from septum.client.access import Access
from septum.client.audit import AuditClient
from septum.client.download import Piece, piece_of, save
from septum.client.feed import FeedClient
from septum.client.people import PeopleClient
from septum.client.projects import GroupsClient, ProjectsClient
from septum.client.registered import RegisteredClient
from septum.client.stream import follow
from septum.client.telemetry import LoadsClient, LogsClient
from septum.client.wire import all_of, error_from, list_of
from septum.errors import ConfigError, ConnectionFailedError, DigestError
from septum.protocol.codec import MAX_MESSAGE_BYTES, Json, Scalar, dumps, from_json, kind_of, loads, to_json
from septum.protocol.facts import Fact, RunEnded
from septum.protocol.plan import Plan
from septum.protocol.priority import Priority
from septum.protocol.roster_views import RosterView
from septum.protocol.timeline import RoundLine
from septum.protocol.views import (
    AppView,
    HealthView,
    InviteView,
    JournalView,
    ModelView,
    Pruned,
    RunStatus,
    RunView,
    Shredded,
    SiloDetail,
    SiloModelView,
    SiloStatus,
    SiloView,
)
from septum.sdk.presets import check_preset_name

API = "/api/v1"
NO_LABELS: Mapping[str, str] = MappingProxyType({})
SEND_TIMEOUT_S = 600.0  # a package has wheels in it
T = TypeVar("T")


class Client:
    """The coordinator's public API.

    `people` are organisations, people, sessions and tokens; `groups` those of silos; `projects` what runs belong to;
    `registered` models under a name, and their deployments; `feed` is what changes; `audit` what was recorded; `logs`
    those of runs; `loads` how busy machines are.

    Every method raises ConnectionFailedError when the coordinator cannot be reached, AuthError when the token is not
    accepted, and otherwise the error that the coordinator answered, of the same class as there.
    """

    def __init__(self, access: Access, *, timeout_s: float = 60.0) -> None:
        self._url = access.url.rstrip("/")
        self._connect = partial(
            httpx.Client,
            base_url=self._url + API,
            headers={"authorization": f"Bearer {access.token}"} if access.token else {},  # none yet: to sign in
            timeout=timeout_s,
            verify=_trust(access.ca_file),
        )
        self._http = self._connect()
        self._streams: set[httpx.Client] = set()
        self.people = PeopleClient(self._json)
        self.groups = GroupsClient(self._json)
        self.projects = ProjectsClient(self._json)
        self.registered = RegisteredClient(self._json)
        self.feed = FeedClient(self._json, self._lines)
        self.audit = AuditClient(self._json)
        self.logs = LogsClient(self._json, self._lines)
        self.loads = LoadsClient(self._json)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of streams as well."""
        for http in (self._http, *self._streams):
            http.close()

    def submit(self, plan: Plan, *, key: str, project: str = "", priority: Priority = Priority.NORMAL) -> RunView:
        """Start a run, in a project or in none. It waits in the queue where its silos have no room for it.

        `key` names this submission: sent again with the same plan and project it returns the same run.
        """
        params = {"project": project} if project else {}
        if priority is not Priority.NORMAL:  # an older coordinator knows no other
            params["priority"] = priority.value
        headers = {"idempotency-key": key}
        return from_json(RunView, self._json("POST", "/runs", to_json(plan), params=params, headers=headers))

    def runs(  # noqa: PLR0913 - one for each thing to look for
        self,
        *,
        limit: int = 100,
        after: str = "",
        project: str = "",
        app: str = "",
        statuses: Sequence[RunStatus] = (),
        name: str = "",
        submitter: str = "",
        since: float = 0.0,
        text: str = "",
        asks: bool = False,
    ) -> tuple[RunView, ...]:
        """Runs, newest first, at most `limit`, those that follow the run id `after`: the older ones.

        Of a project; of an app, NAME or NAME==VERSION; in one of these statuses; of a name; of a submitter; submitted
        since a Unix time; with `text` in id, name, app or submitter; that ask for statistics: whatever is given has
        to hold.
        """
        given = {"after": after, "project": project, "app": app, "name": name, "submitter": submitter, "q": text}
        params: dict[str, str | list[str]] = {key: value for key, value in given.items() if value}
        params |= {"limit": str(limit), "status": [one.value for one in statuses]}
        if since:
            params["since"] = repr(since)
        if asks:
            params["asks"] = "true"
        return list_of(RunView, self._json("GET", "/runs", params=params))

    def run(self, run_id: str) -> RunView:
        """One run. Raises NotFoundError."""
        return from_json(RunView, self._json("GET", f"/runs/{quote(run_id, safe='')}"))

    def plan(self, run_id: str) -> Plan:
        """What a run was settled to do: the same for everybody who takes part. Raises NotFoundError."""
        return from_json(Plan, self._json("GET", f"/runs/{quote(run_id, safe='')}/plan"))

    def stop(self, run_id: str, *, reason: str = "stopped by an operator") -> RunView:
        """End a run; its last finished model stays. Raises ProtocolError when it has ended in another way."""
        return from_json(RunView, self._json("POST", f"/runs/{quote(run_id, safe='')}/stop", {"reason": reason}))

    def pause(self, run_id: str) -> RunView:
        """Hand out no new work in a run. Raises ProtocolError when it has ended."""
        return from_json(RunView, self._json("POST", f"/runs/{quote(run_id, safe='')}/pause"))

    def resume(self, run_id: str) -> RunView:
        """Go on: after a pause where it stood, after a stop or failure from the last finished round."""
        return from_json(RunView, self._json("POST", f"/runs/{quote(run_id, safe='')}/resume"))

    def shred(self, run_id: str) -> Shredded:
        """Delete the key and all files of a run that has ended, for good. Raises ConflictError, NotFoundError."""
        return from_json(Shredded, self._json("POST", f"/runs/{quote(run_id, safe='')}/shred"))

    def prioritise(self, run_id: str, priority: Priority) -> RunView:
        """Let a run that waits begin before others, or after them. Raises ProtocolError when it has begun."""
        where = f"/runs/{quote(run_id, safe='')}"
        if priority is Priority.HIGH:
            return from_json(RunView, self._json("POST", f"{where}/urge"))
        return from_json(RunView, self._json("POST", f"{where}/priority", {"priority": priority.value}))

    def journal(
        self, run_id: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[type[Fact]] = ()
    ) -> tuple[JournalView, ...]:
        """What happened in a run, from entry `after` (exclusive) on; facts of these kinds, if any are named."""
        params: dict[str, str | list[str]] = {"after": str(after), "limit": str(limit)}
        params["kind"] = [kind_of(kind) for kind in kinds]
        return list_of(JournalView, self._json("GET", f"/runs/{quote(run_id, safe='')}/journal", params=params))

    def whole_journal(self, run_id: str, kinds: Sequence[type[Fact]] = ()) -> Iterator[JournalView]:
        """All that happened in a run until now, page by page; facts of these kinds, if any are named."""
        after = 0
        while page := self.journal(run_id, after=after, kinds=kinds):
            yield from page
            after = page[-1].seq

    def timeline(self, run_id: str, *, after_round: int = -1, limit: int = 50) -> tuple[RoundLine, ...]:
        """Where the time of a run went, in at most `limit` rounds after a round; 0 is the preparation."""
        params = {"limit": str(limit), **({"after": str(after_round)} if after_round >= 0 else {})}
        return list_of(RoundLine, self._json("GET", f"/runs/{quote(run_id, safe='')}/timeline", params=params))

    def whole_timeline(self, run_id: str) -> Iterator[RoundLine]:
        """All rounds of a run until now, page by page."""
        after = -1
        while page := self.timeline(run_id, after_round=after, limit=100):
            yield from page
            after = page[-1].round

    def watch(self, run_id: str, *, after: int = 0, patience_s: float = 60.0) -> Iterator[JournalView]:
        """The journal from entry `after` on, as it grows, until the run has ended.

        A broken connection is taken up again where it broke, for up to `patience_s` seconds without success.
        """
        return follow(
            JournalView,
            partial(self._lines, f"/runs/{quote(run_id, safe='')}/events"),
            after=after,
            patience_s=patience_s,
            over=lambda last: last is not None and isinstance(last.fact, RunEnded),  # then it is closed for good
        )

    def models(self, run_id: str = "") -> tuple[ModelView, ...]:
        """Every model of a run, oldest first; without a run the newest model of each, newest run first."""
        return all_of(ModelView, self._json, "/models", run=run_id)

    def download(self, digest: str, path: Path, *, run: str = "", patience_s: float = 60.0) -> int:
        """Write a model (safetensors) into `path`; its size in bytes. The digest is checked before `path` appears.

        `run`, which made it, is needed where one's role is over its project alone.

        A download that is cut is taken up again where it stopped, for up to `patience_s` seconds without success; what
        has come stays beside `path`, and the next download of the same model goes on with it.
        """
        where, params = f"/models/{quote(digest, safe=':')}", {"run": run} if run else {}
        return save(lambda start: self._piece(where, start, params), digest, path, patience_s=patience_s)

    def silo_models(self, run: str, silo: str = "") -> tuple[SiloModelView, ...]:
        """Silos' own models that a run without masks keeps, by round and silo; those of one silo."""
        return all_of(SiloModelView, self._json, f"/runs/{quote(run, safe='')}/silo-models", silo=silo)

    def download_silo_model(self, model: SiloModelView, path: Path, *, patience_s: float = 60.0) -> int:
        """Write a silo's own model into `path`, as `download` does; its size in bytes."""
        where = f"/runs/{quote(model.run, safe='')}/silo-models/{model.round}/{quote(model.silo, safe='')}"
        return save(lambda start: self._piece(where, start, {}), model.digest, path, patience_s=patience_s)

    def prune(self, *, newest: int = 2, older_than_days: float = 30.0, really: bool = False) -> Pruned:
        """What can go of the models of runs that ended long ago; `really`: it goes. Raises ConfigError."""
        params = {"newest": str(newest), "older_than_days": repr(older_than_days), "really": str(really).lower()}
        return from_json(Pruned, self._json("POST", "/models/prune", params=params))

    def apps(self, *, name: str = "", text: str = "") -> tuple[AppView, ...]:
        """Every package that silos can fetch, by name, the newest push first; of a name; with `text` in its name."""
        return all_of(AppView, self._json, "/apps", name=name, q=text)

    def app(self, digest: str) -> AppView:
        """One package. Raises NotFoundError."""
        return from_json(AppView, self._json("GET", f"/apps/{quote(digest, safe=':')}"))

    def app_description(self, digest: str) -> bytes:
        """What a package says of itself, JSON; `sdk.package_file.read_description` reads it. Raises NotFoundError."""
        where = f"/apps/{quote(digest, safe=':')}/description"
        try:
            response = self._http.get(where)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_from(response.status_code, response.content)
        return response.content

    def push_app(self, path: Path, digest: str, signatures: bytes = b"") -> AppView:
        """Push a package's file, whose SHA-256 is `digest`, and its signatures if there are any.

        Raises DigestError, AppError for one that is not sound, ConflictError when its version is another package's.
        """
        where = f"/apps/{quote(digest, safe=':')}"
        with path.open("rb") as file:
            view = from_json(AppView, self._sent("PUT", where, file))
        return from_json(AppView, self._sent("PUT", f"{where}/signatures", signatures)) if signatures else view

    def download_app(self, digest: str, path: Path) -> int:
        """Write a package's file into `path`; its size in bytes. Raises DigestError, and then there is no file."""
        hasher, part = sha256(), path.with_name(f"{path.name}.part")
        try:
            with self._http.stream("GET", f"/apps/{quote(digest, safe=':')}/file") as response, part.open("wb") as file:
                if response.is_error:
                    raise error_from(response.status_code, response.read())
                for chunk in response.iter_bytes():
                    hasher.update(chunk)
                    file.write(chunk)
            came = f"sha256:{hasher.hexdigest()}"
            if came != digest:
                raise DigestError(f"{digest} was asked for, and the bytes that came have the digest {came}")
            return part.replace(path).stat().st_size
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            part.unlink(missing_ok=True)

    def remove_app(self, digest: str) -> None:
        """Remove a package; one that is not there is ignored. Raises ConflictError while a run of it has not ended."""
        self._json("DELETE", f"/apps/{quote(digest, safe=':')}")

    def set_preset(self, digest: str, name: str, values: Mapping[str, Scalar]) -> AppView:
        """Give a package a preset beside those in it, in place of one of that name that was given.

        Raises ConfigError for a value that its hyper-parameters do not allow and for what is no name, ConflictError for
        the name of one in it.
        """
        where = f"/apps/{quote(digest, safe=':')}/presets/{check_preset_name(name)}"
        return from_json(AppView, self._json("PUT", where, to_json(values)))

    def drop_preset(self, digest: str, name: str) -> AppView:
        """Take a preset back that was given to a package. Raises NotFoundError."""
        where = f"/apps/{quote(digest, safe=':')}/presets/{check_preset_name(name)}"
        return from_json(AppView, self._json("DELETE", where))

    def roster(self) -> bytes:
        """The newest signed roster, to the byte. Raises NotFoundError where the coordinator was handed none."""
        return self._raw("GET", "/roster")

    def rosters(self, *, limit: int = 100, before: int = 0) -> tuple[RosterView, ...]:
        """The rosters that the coordinator was handed, newest first; those with a serial below `before`, if given."""
        params = {"limit": str(limit), **({"after": str(before)} if before else {})}
        return list_of(RosterView, self._json("GET", "/roster/history", params=params))

    def put_roster(self, document: bytes) -> None:
        """Hand the coordinator a signed roster. Raises AuthError for too few signatures, ConflictError."""
        self._raw("PUT", "/roster", document)

    def silos(
        self,
        *,
        statuses: Sequence[SiloStatus] = (),
        group: str = "",
        organisation: str = "",
        labels: Mapping[str, str] = NO_LABELS,
        text: str = "",
    ) -> tuple[SiloView, ...]:
        """Every invited or enrolled silo, by name; whatever is given has to hold, `text` is in its name."""
        given: dict[str, str | list[str]] = {"group": group, "organisation": organisation, "q": text}
        given |= {"status": [one.value for one in statuses], "label": [f"{key}={labels[key]}" for key in labels]}
        return all_of(SiloView, self._json, "/silos", **given)

    def silo(self, name: str) -> SiloDetail:
        """One silo, with what it says of itself. Raises NotFoundError."""
        return from_json(SiloDetail, self._json("GET", f"/silos/{quote(name, safe='')}"))

    def invite(self, name: str, organisation: str = "") -> InviteView:
        """Let a silo of an organisation enrol once. A newer invitation replaces an older one."""
        params = {"organisation": organisation} if organisation else {}
        return from_json(InviteView, self._json("POST", f"/silos/{quote(name, safe='')}/invite", params=params))

    def renew(self, name: str) -> InviteView:
        """Let an enrolled silo bring another key, once; its own counts until then. Raises NotFoundError."""
        return from_json(InviteView, self._json("POST", f"/silos/{quote(name, safe='')}/renew"))

    def revoke(self, name: str) -> None:
        """Refuse a silo from now on. Raises NotFoundError."""
        self._json("DELETE", f"/silos/{quote(name, safe='')}")

    def health(self) -> HealthView:
        """Whether the coordinator answers, and what it carries."""
        return from_json(HealthView, self._json("GET", "/health"))

    def metrics(self) -> str:
        """How the coordinator is doing, in Prometheus' text format."""
        return self._raw("GET", "/metrics").decode()

    def error_page(self) -> str:
        """What each kind of error means, in Markdown; no token is needed."""
        return self._raw("GET", "/errors").decode()

    @contextmanager
    def _piece(self, where: str, start: int, params: Mapping[str, str]) -> Iterator[Piece]:
        """A model's bytes from `start` on."""
        headers = {"accept-encoding": "identity", **({"range": f"bytes={start}-"} if start else {})}
        try:
            with self._http.stream("GET", where, params=params, headers=headers) as response:
                if response.is_error and not (
                    start and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
                ):
                    raise error_from(response.status_code, response.read())
                yield piece_of(response.status_code, response.headers, response.iter_raw())
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    @contextmanager
    def _lines(
        self, where: str, after: int, params: Mapping[str, str | list[str]] | None = None
    ) -> Iterator[Iterator[str]]:
        """The lines of a stream of events, from entry `after` (exclusive) on.

        On connections of its own: a stream that nobody reads on may be ended by the garbage collector, at any place in
        another request, where the lock of the connections is held that both would share.
        """
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        http = self._connect()
        self._streams.add(http)
        try:
            with http, http.stream("GET", where, headers=headers, params=params) as response:
                if response.status_code != httpx.codes.OK:
                    raise error_from(response.status_code, response.read())
                yield response.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            self._streams.discard(http)

    def _json(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        content = None if body is None else dumps(body)
        given = {**(headers or {}), **({} if content is None else {"content-type": "application/json"})}
        try:
            response = self._http.request(method, path, content=content, params=params, headers=given)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_from(response.status_code, response.content)
        return loads(response.content, limit=64 * MAX_MESSAGE_BYTES) if response.content else None

    def _sent(self, method: str, path: str, content: bytes | IO[bytes]) -> Json:
        """Send bytes as they are; the JSON of the answer."""
        return loads(self._raw(method, path, content), limit=64 * MAX_MESSAGE_BYTES)

    def _raw(self, method: str, path: str, content: bytes | IO[bytes] | None = None) -> bytes:
        """Send bytes as they are; those of the answer."""
        try:
            response = self._http.request(method, path, content=content, timeout=SEND_TIMEOUT_S)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise error_from(response.status_code, response.content)
        return response.content

    def _unreachable(self, error: httpx.TransportError) -> ConnectionFailedError:
        what = str(error) or type(error).__name__
        return ConnectionFailedError(
            f"the coordinator at {self._url} cannot be reached: {what}",
            hint="septum coordinator start, on its machine; or give another URL with --url",
        )


def _trust(ca_file: str) -> ssl.SSLContext:
    """TLS 1.3 only, and the coordinator's own certificate where one is given."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate file {ca_file} cannot be used: {error}",
            hint="septum config show --origin says who named it",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
