"""An issuer of OpenID Connect, as a process of its own: `python issuer.py` prints its port and serves until it ends.

It checks what a good issuer checks (the client, PKCE, the redirect address, a code once), and does wrong what
`POST /control` tells it to.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "the-plugs-client", "a-secret:with/odd+signs%and-32-bytes-at-least"
SUBJECT = "subject-1"


class Key:
    def __init__(self) -> None:
        self.kid = secrets.token_hex(4)
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def jwk(self) -> dict[str, Any]:
        return {**RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.kid, "use": "sig"}


class Misdeeds:
    """What the issuer does otherwise than it should; nothing, at first."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        """Of the ID token; None leaves one out."""
        self.metadata: dict[str, Any] = {}
        self.signing = "right"
        self.answers: dict[str, dict[str, Any]] = {}
        """By path: `status`, `seconds` to wait, `bytes` to send, a `location` to redirect to, or another `body`."""


class Issuer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key, self.foreign = Key(), Key()
        self.grants: dict[str, dict[str, str]] = {}
        self.asked: dict[str, int] = {}
        self.misdeeds = Misdeeds()

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "authorization_response_iss_parameter_supported": True,
            **self.misdeeds.metadata,
        }

    def id_token(self, grant: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": SUBJECT,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": grant["nonce"],
            **self.misdeeds.claims,
        }
        return self._signed({name: value for name, value in claims.items() if value is not None})

    def _signed(self, claims: dict[str, Any]) -> str:
        headers: dict[str, Any] = {"kid": self.key.kid}
        match self.misdeeds.signing:
            case "none":
                return jwt.encode(claims, "", algorithm="none", headers=headers)
            case "public key as a secret":
                head = _encode(json.dumps({"alg": "HS256", "typ": "JWT", **headers}).encode())
                signed = f"{head}.{_encode(json.dumps(claims).encode())}"
                return f"{signed}.{_encode(hmac.digest(self.key.pem, signed.encode(), 'sha256'))}"
            case "client secret":
                return jwt.encode(claims, CLIENT_SECRET, algorithm="HS256", headers=headers)
            case "foreign":
                return jwt.encode(claims, self.foreign.private, algorithm="RS256", headers=headers)
            case "own key in the header":
                headers |= {"jwk": self.foreign.jwk, "jku": f"{self.url}/foreign"}
                return jwt.encode(claims, self.foreign.private, algorithm="RS256", headers=headers)
            case "critical":
                headers |= {"crit": ["unheard-of"], "unheard-of": True}
                return jwt.encode(claims, self.key.private, algorithm="RS256", headers=headers)
            case "unknown id":
                return jwt.encode(claims, self.key.private, algorithm="RS256", headers={"kid": "unknown"})
            case "no id":
                return jwt.encode(claims, self.key.private, algorithm="RS256")
            case _:
                return jwt.encode(claims, self.key.private, algorithm="RS256", headers=headers)


class Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        issuer, parts = self.server, urlsplit(self.path)
        match parts.path:
            case "/.well-known/openid-configuration":
                self._answer(200, issuer.metadata())
            case "/jwks":
                self._answer(200, {"keys": [issuer.key.jwk]})
            case "/authorize":
                self._authorize(dict(parse_qsl(parts.query)))
            case "/asked":
                self._answer(200, issuer.asked, counted=False)
            case _:
                self._answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/control":
            self._control(json.loads(body))
        elif self.path == "/token":
            self._token(dict(parse_qsl(body.decode())))

    def _control(self, told: dict[str, Any]) -> None:
        if told.pop("rotate", False):
            self.server.key = Key()
        self.server.misdeeds = Misdeeds()
        for name, value in told.items():
            setattr(self.server.misdeeds, name, value)
        self._answer(200, {}, counted=False)

    def _authorize(self, query: dict[str, str]) -> None:
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT_ID
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.server.grants[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.server.url}
        self._send(302, b"", {"location": f"{query['redirect_uri']}?{urlencode(answer)}"})

    def _token(self, form: dict[str, str]) -> None:
        if self._client(form) != (CLIENT_ID, CLIENT_SECRET):
            self._answer(401, {"error": "invalid_client"})
            return
        grant = self.server.grants.pop(form["code"], None)
        challenge = _encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            grant is None
            or grant["code_challenge"] != challenge
            or grant["redirect_uri"] != form["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            self._answer(400, {"error": "invalid_grant"})
            return
        self._answer(200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.server.id_token(grant)})

    def _client(self, form: dict[str, str]) -> tuple[str, str]:
        """Who asks, by the header or by the form, as the metadata say."""
        if self.server.metadata().get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            assert "authorization" not in self.headers
            return form["client_id"], form["client_secret"]
        assert "client_secret" not in form
        pair = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        name, _, secret = pair.partition(":")
        return unquote_plus(name), unquote_plus(secret)

    def _answer(self, status: int, content: Any, *, counted: bool = True) -> None:
        path = urlsplit(self.path).path
        told = self.server.misdeeds.answers.get(path, {}) if counted else {}
        if counted:
            self.server.asked[path] = self.server.asked.get(path, 0) + 1
        time.sleep(told.get("seconds", 0))
        body = b" " * told["bytes"] if "bytes" in told else json.dumps(told.get("body", content)).encode()
        headers = {"location": told["location"]} if "location" in told else {}
        self._send(told.get("status", status), body, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body)), "content-type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


if __name__ == "__main__":
    server = Issuer()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
