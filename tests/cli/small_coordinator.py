"""The coordinator's public API over real HTTPS, as far as commands need it: runs are facts given in advance."""

import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from septum.adapters.tls import ensure_server_certificate
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.facts import Metrics, ModelMade, ModelMeasured, RunEnded, SiloJoined
from septum.protocol.messages import Outcome, blob_of
from septum.protocol.plan import Plan
from septum.protocol.run_state import Presence
from septum.protocol.views import (
    HealthView,
    InviteView,
    JournalView,
    ModelView,
    RunStatus,
    RunView,
    SiloInRun,
    SiloStatus,
    SiloView,
)

MODEL = b"a model of round 2"
METRICS = Metrics(rows=254, accuracy=0.8, log_loss=0.5, roc_auc=0.875)


class SmallCoordinator:
    """`drop_submits`: how many submissions are accepted and then not answered."""

    def __init__(self, directory):
        certificate = ensure_server_certificate(directory, ["127.0.0.1"])
        self.ca_file, self.token = certificate.ca_path, "the-operators-token"
        self.silos = [SiloView("boston", SiloStatus.ONLINE, 1.0, 2.0), SiloView("gone", SiloStatus.REVOKED, 1.0, 2.0)]
        self.plans, self.keys, self.asked, self.drop_submits = {}, {}, [], 0
        self.status, self.reason, self.facts = RunStatus.FINISHED, "", finished()
        self.problems, self.facts_of, self.position, self.masked = {}, {}, 0, False
        self.hold_events = threading.Event()
        self.version, self.silo_models = "0.1.0", []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate.cert_path, certificate.key_path)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.hold_events.set()
        self._server.shutdown()
        self._server.server_close()

    def submit(self, key, plan):
        """The run of this key; a new one if the key is new."""
        run_id = self.keys.setdefault(key, f"run-{len(self.keys) + 1}")
        self.plans[run_id] = plan
        return self.view(run_id)

    def view(self, run_id):
        plan = self.plans[run_id]
        return RunView(
            id=run_id,
            name=plan.name,
            app=plan.app,
            status=self.status,
            round=2,
            finished_rounds=2,
            rounds=plan.rounds,
            attempt=1,
            quorum=plan.quorum,
            silos=tuple(SiloInRun(silo, Presence.ACTIVE, False, self.problems.get(silo, "")) for silo in plan.silos),
            strategy=plan.strategy,
            hyper=plan.hyper,
            plan_digest=plan.digest,
            metrics=METRICS,
            model=blob_of(MODEL).digest,
            reason=self.reason,
            position=self.position,
            masked=self.masked,
            created_at=1_700_000_000.0,
            asks=plan.query is not None,
        )

    def answer(self, method, path, query, headers, body):
        """(status, JSON) of a request that is no stream."""
        parts = path.removeprefix("/api/v1/").split("/")
        match method, parts:
            case "GET", ["health"]:
                return 200, to_json(HealthView(self.version, 1.0, len(self.plans), 1))
            case "GET", ["silos"]:
                return 200, {"items": [to_json(silo) for silo in self.silos]}
            case "POST", ["silos", name, "invite"]:
                return 200, to_json(InviteView(name, "septum1_secret", 1_700_000_000.0))
            case "DELETE", ["silos", name] if name in [silo.name for silo in self.silos]:
                return 200, {}
            case "POST", ["runs"]:
                return 201, to_json(self.submit(headers["idempotency-key"], from_json(Plan, loads(body))))
            case "GET", ["runs"]:
                views = [self.view(run) for run in self.plans]
                return 200, {"items": [to_json(view) for view in views if view.asks or "asks" not in query]}
            case "GET", ["models"]:
                models = [ModelView(run, 2, blob_of(MODEL).digest, len(MODEL), METRICS) for run in self.plans]
                return 200, {
                    "items": [to_json(model) for model in models if query.get("run", [model.run])[0] == model.run]
                }
            case "GET", ["runs", run] if run in self.plans:
                return 200, to_json(self.view(run))
            case "GET", ["apps"] | ["models", "versions"]:
                return 200, {"items": []}
            case "GET", ["runs", run, *what] if run in self.plans and what:
                return self.part_of(run, what, query)
            case "POST", ["runs", run, "stop" | "pause" | "resume" | "priority" | "urge"] if run in self.plans:
                return 200, to_json(self.view(run))
        return 404, {"code": "not_found", "detail": f"nothing at {path}", "hint": "septum run list"}

    def part_of(self, run, what, query):
        """(status, JSON) of a run's plan or journal."""
        if what == ["plan"]:
            return 200, to_json(self.plans[run])
        if what == ["silo-models"]:
            silo = query.get("silo", [""])[0]
            return 200, {"items": [to_json(one) for one in self.silo_models if silo in ("", one.silo)]}
        assert what == ["journal"]
        after = int(query.get("after", ["0"])[0])
        facts = self.facts_of.get(run, self.facts)
        entries = [JournalView(seq, 1.0, fact) for seq, fact in enumerate(facts, start=1) if seq > after]
        return 200, {"items": [to_json(entry) for entry in entries]}


def finished():
    """The facts of a run of two rounds."""
    model = blob_of(MODEL).without_bytes()
    return [
        SiloJoined("boston"),
        ModelMade(2, model),
        ModelMeasured(2, METRICS, {"boston": METRICS}),
        RunEnded(Outcome.FINISHED, ""),
    ]


def handler(coordinator):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self):
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            coordinator.asked.append((self.command, url.path))
            known = self.headers.get("authorization") == f"Bearer {coordinator.token}"
            if not known and url.path != "/api/v1/health":
                problem = {"code": "auth", "detail": "this token is not accepted", "hint": ""}
                return self._send(401, dumps(problem), "application/problem+json")
            if url.path.endswith("/events"):
                return self._events(int(self.headers.get("last-event-id", 0)))
            if url.path.startswith("/api/v1/models/blake3:") or "/silo-models/" in url.path:
                return self._send(200, MODEL, "application/octet-stream")
            status, answer = coordinator.answer(self.command, url.path, parse_qs(url.query), self.headers, body)
            if self.command == "POST" and url.path == "/api/v1/runs" and coordinator.drop_submits:
                coordinator.drop_submits -= 1
                self.close_connection = True
                return None
            return self._send(status, dumps(answer))

        def _send(self, status, data, kind="application/json"):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _events(self, after):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for seq, fact in enumerate(coordinator.facts, start=1):
                if seq > after:
                    entry = to_json(JournalView(seq, time.time(), fact))
                    self.wfile.write(b"id: %d\ndata: %s\n\n" % (seq, dumps(entry)))
                    self.wfile.flush()
            if not isinstance(coordinator.facts[-1], RunEnded):
                coordinator.hold_events.wait(30)
            self.close_connection = True

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *_):
            pass

    return Handler
