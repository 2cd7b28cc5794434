"""Secrets and personal data never reach a log, and no input can forge a line: looked for in a real process's log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import Operation, existing_ids, filled, operations, valid_body
from msgspec import structs
from test_openapi import ENDING

from core.app import Application
from core.settings import Settings
from core.testing.processes import Deployment, free_port
from core.testing.tenants import PASSWORD, Tenant

CANARY = "canary7f3a"
FORGED = '\n{"event": "forged", "level": "info"}\r\n\u2028\x1b[2Kforged'
BREAKS = "%0A%7B%22event%22%3A%22forged%22%7D%0D%0A"


def marked(value: Any) -> Any:
    """The same body with the canary in every text."""
    match value:
        case dict():
            return {name: marked(inner) for name, inner in value.items()}
        case list():
            return [marked(inner) for inner in value]
        case str():
            return f"{value}{CANARY}"
        case _:
            return value


def requests_of(operation: Operation, ids: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation with the canary wherever something can be sent: what is accepted, and what is not."""
    headers = {
        "x-correlation-id": f"{CANARY} {{}}",  # one that is not taken for an id
        "user-agent": f'{CANARY}\t{{"event": "forged"}}',
        "idempotency-key": CANARY,
        "cookie": f"session={CANARY}",
    }
    path = operation.path(ids)
    bodies: list[dict[str, Any]] = [{}]
    if operation.takes_json:
        good = valid_body(operation)
        bodies = [{"json": body} for body in (good, marked(good), {**good, CANARY: FORGED}, CANARY + FORGED)]
    elif operation.takes_files:
        name = f"{CANARY}.csv"
        bodies = [{"files": {"file": (name, f"first_name,email\n{CANARY},{CANARY}\n".encode())}}]
    for body in bodies:
        yield path, {"headers": headers, **body}
        yield f"{path}?{CANARY}={CANARY}", {"headers": headers, **body}
        without_key = {name: value for name, value in headers.items() if name != "idempotency-key"}
        yield path, {"headers": without_key, **body}
    if "{" in operation.template:
        yield filled(operation.template, dict.fromkeys(ids, f"{CANARY}{BREAKS}")), {"headers": headers}


@pytest.mark.timeout(240)
async def test_secrets_and_personal_data_never_reach_a_log(
    settings: Settings, application: Application, acme: Tenant, tmp_path: Path
) -> None:
    ids = await existing_ids(acme)
    token = acme.client.headers["authorization"].removeprefix("Bearer ")
    own = structs.replace(settings, port=free_port(), log_level="debug", log_format="json")
    asked = 0
    with Deployment(own, tmp_path) as deployment:
        process = await deployment.start_api()
        async with deployment.client() as stranger, deployment.client(token) as client:
            for operation in operations(application):
                for path, sent in requests_of(operation, ids):
                    if operation.id in ENDING:
                        continue
                    await client.request(operation.method, path, **sent)
                    asked += 1
            await lure(stranger, acme)
        log = process.read_log()

    assert asked > 200
    lines = [json.loads(line) for line in log.splitlines() if line]
    assert sum(line["event"] == "request" for line in lines) > 200
    assert not [line for line in lines if line["event"] == "forged"]
    assert CANARY not in log
    assert not [secret for secret in (token, PASSWORD, acme.email) if secret in log]


async def lure(stranger: httpx.AsyncClient, tenant: Tenant) -> None:
    """What people type in the wrong place."""
    await stranger.get(f"/{CANARY}{BREAKS}?token={CANARY}")
    await stranger.get("/health/live", headers={"authorization": f"Bearer {CANARY}.{CANARY}.{CANARY}"})
    await stranger.get("/api/v1/users/me", headers={"authorization": f"Basic {CANARY}"})
    await stranger.post("/api/v1/auth/login", json={"email": tenant.email, "password": CANARY})
    await stranger.post("/api/v1/auth/login", json={"email": tenant.email, "password": PASSWORD})
    await stranger.post("/api/v1/auth/refresh", json={"refresh_token": CANARY})
    await stranger.get(f"/docs/static/{CANARY}")
    await stranger.request("PROPFIND", f"/{CANARY}")
