"""A real OpenID Connect provider on loopback, over HTTPS: discovery, keys, code with PKCE, device authorisation.

It asks nobody anything: `person` is who agrees. `lie` changes what its ID tokens say, as a hostile or broken one would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from septum.adapters.tls import ensure_server_certificate

CLIENT, SECRET = "septum", "the-client-secret"


class OidcProvider:
    def __init__(self, directory):
        certificate = ensure_server_certificate(directory, ["127.0.0.1", "localhost"])
        self.ca_file = certificate.ca_path
        self.person = {"sub": "subject-1", "preferred_username": "Ada Lovelace", "name": "Ada", "groups": ["staff"]}
        self.lie = lambda claims: claims
        self.sign = self._sign
        self.agreed = threading.Event()
        self.denied = False
        self.codes, self.devices, self.asked = {}, {}, []
        self.new_key()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_path, certificate.key_path)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.issuer = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def settings(self, folder):
        """What coordinator.toml in this folder says of it; the client's secret is put beside it."""
        (folder / "oidc-secret").write_text(SECRET)
        return (
            f'[oidc]\nissuer = "{self.issuer}"\nclient_id = "{CLIENT}"\n'
            f'client_secret_file = "oidc-secret"\nca_file = "{self.ca_file}"\n'
            '[oidc.groups]\nresearchers = ["researcher"]\n'
        )

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def new_key(self):
        """Sign with another key from now on."""
        self.key, self.kid = rsa.generate_private_key(65537, 2048), secrets.token_hex(4)

    def keys(self):
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        other = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}, {**other, "kid": "other"}]}

    def _sign(self, claims):
        return jwt.encode(claims, self.key, "RS256", headers={"kid": self.kid})

    def answer(self, method, path, form, client):
        self.asked.append((method, path, form))
        match path:
            case "/.well-known/openid-configuration":
                names = ("authorization", "token", "device_authorization")
                found = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in names}
                return 200, {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **found}
            case "/authorization":  # in a real browser, whose person clicks
                back = f"{form['redirect_uri']}?{self.visit(f'{self.issuer}{path}?{urlencode(form)}')}"
                return 200, f'<!doctype html><title>Provider</title><a href="{escape(back)}">Agree</a>'
            case "/jwks":
                return 200, self.keys()
            case "/device_authorization":
                code = secrets.token_hex(8)
                self.devices[code] = True
                where = f"{self.issuer}/device"
                told = {"user_code": "WDJB-MJHT", "verification_uri": where, "interval": 0.05, "expires_in": 600}
                return 200, {"device_code": code, "verification_uri_complete": f"{where}?c=WDJB-MJHT", **told}
            case "/token" if client != (CLIENT, SECRET):
                return 401, {"error": "invalid_client"}
            case "/token" if form.get("grant_type") == "authorization_code":
                return self._by_code(form)
            case "/token":
                return self._by_device(form)
        return 404, {"error": "nothing here"}

    def _by_code(self, form):
        asked = self.codes.pop(form.get("code"), None)
        made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(made).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        return 200, self.tokens(asked["nonce"])

    def _by_device(self, form):
        if self.denied:
            return 400, {"error": "access_denied"}
        if form.get("device_code") not in self.devices or not self.agreed.is_set():
            return 400, {"error": "authorization_pending"}
        del self.devices[form["device_code"]]
        return 200, self.tokens("")

    def tokens(self, nonce):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **self.person}
        claims = self.lie({**claims, **({"nonce": nonce} if nonce else {})})
        return {"access_token": "unused", "token_type": "Bearer", "id_token": self.sign(claims)}

    def visit(self, url):
        """What a browser does whose person agrees: the query with which it is sent back."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(f"{self.issuer}/authorization?")
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert (query["code_challenge_method"], "openid" in query["scope"]) == ("S256", True)
        code = secrets.token_hex(8)
        self.codes[code] = query
        return urlencode({"state": query["state"], "code": code})


def handler(provider):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self):
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            form = {name: values[0] for name, values in parse_qs(body or url.query).items()}
            scheme, _, basic = self.headers.get("authorization", "").partition(" ")
            client = tuple(base64.b64decode(basic).decode().split(":", 1)) if scheme == "Basic" else ()
            status, answer = provider.answer(self.command, url.path, form, client)
            page = isinstance(answer, str)
            data = answer.encode() if page else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "text/html" if page else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve

        def log_message(self, *_):
            pass

    return Handler
