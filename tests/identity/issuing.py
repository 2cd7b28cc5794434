"""The issuer's process, an application that trusts it, and a browser that goes there and back."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec
from issuer import CLIENT_ID, CLIENT_SECRET
from msgspec import Struct

from core.app import Application, create_app
from core.identity.oidc.issuer import Issuer
from core.settings import Settings
from core.testing.processes import NO_AUTHORITIES
from core.testing.stage import runtime_on
from core.testing.tenants import client_of, running

OIDC = "/api/v1/auth/oidc"
SECONDS = 0.8
"""For a whole exchange with the issuer, in these tests."""


class LocalIssuer(Struct, frozen=True):
    url: str

    def will(self, **misdeeds: Any) -> None:
        """From now on it does this otherwise than it should, and nothing of what it was told before."""
        told = json.dumps(misdeeds).encode()  # httpx's own would not let half a character through
        httpx.post(f"{self.url}/control", content=told, verify=NO_AUTHORITIES, trust_env=False).raise_for_status()

    def asked(self, path: str) -> int:
        """How often it was."""
        return httpx.get(f"{self.url}/asked", verify=NO_AUTHORITIES, trust_env=False).json().get(path, 0)

    def vouches_for(self, address: str, **claims: Any) -> None:
        self.will(claims={"sub": f"subject of {address}", "email": address, "email_verified": True, **claims})


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    command = [sys.executable, str(Path(__file__).with_name("issuer.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield LocalIssuer(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.kill()


def provider(issuer: LocalIssuer, name: str = "local", **others: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.title(),
        "issuer": issuer.url,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        **others,
    }


@asynccontextmanager
async def trusting(settings: Settings, *providers: dict[str, Any]) -> AsyncGenerator[Application]:
    """An application that lets people sign in with these."""
    listed = msgspec.json.encode(providers).decode()
    changed = msgspec.structs.replace(settings, oidc_providers=listed, outgoing_loopback=True, outgoing_seconds=SECONDS)
    async with running(create_app(runtime_on(changed))) as application:
        yield application


def forget_issuers(application: Application) -> None:
    """What it has read of them."""
    sign_in = application.litestar.state.oidc
    sign_in._issuers = {
        issuer.provider.name: Issuer(issuer.provider, sign_in._outgoing) for issuer in sign_in._issuers.values()
    }


class Browser:
    """One client's, from the start of an attempt to its end."""

    def __init__(self, application: Application) -> None:
        self.client = client_of(application)

    async def start(self, name: str = "local", **data: Any) -> httpx.Response:
        return await self.client.post(f"{OIDC}/{name}/start", json=data)

    async def back(self, name: str = "local", **data: Any) -> dict[str, str]:
        """To the issuer and back: what a client hands over in the callback."""
        started = await self.start(name, **data)
        assert started.status_code == 201, started.text
        query = await self.visit(started.json()["authorization_url"])
        return {**query, "browser_secret": started.json()["browser_secret"]}

    async def visit(self, url: str) -> dict[str, str]:
        async with httpx.AsyncClient(verify=NO_AUTHORITIES, trust_env=False) as browser:
            redirect = await browser.get(url)
        assert redirect.status_code == 302, redirect.text
        return dict(parse_qsl(urlsplit(redirect.headers["location"]).query))

    async def callback(self, data: dict[str, Any], name: str = "local") -> httpx.Response:
        return await self.client.post(f"{OIDC}/{name}/callback", json=data)

    async def second_factor(self, data: dict[str, Any], name: str = "local", **code: str) -> httpx.Response:
        kept = {"state": data["state"], "browser_secret": data["browser_secret"]}
        return await self.client.post(f"{OIDC}/{name}/second-factor", json={**kept, **code})

    async def sign_in(self, name: str = "local", **data: Any) -> httpx.Response:
        return await self.callback(await self.back(name, **data), name)
