"""Limits on bodies hold in memory too: what is too large is never collected."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from asking import CONTACTS, IMPORTS, problem_of
from msgspec import structs

from core.settings import Settings
from core.testing.processes import Deployment, PlugsProcess, free_port
from core.testing.tenants import Tenant

AT_ONCE = 50
MEBIBYTE = 1_048_576
GROWTH = 96 * MEBIBYTE
"""Fifty bodies up to their limit of one MiB each, and what Python leaves lying about."""


def peak_of(process: PlugsProcess) -> int:
    """The most memory that it ever had in use, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def flood(mebibytes: int) -> AsyncIterator[bytes]:
    """Of no announced length, so that it can't be refused unread."""
    piece = b"x" * 65_536
    for _ in range(mebibytes * 16):
        yield piece


@pytest.mark.timeout(180)
async def test_memory_is_bounded_under_50_huge_bodies_at_once(settings: Settings, acme: Tenant, tmp_path: Path) -> None:
    own = structs.replace(settings, port=free_port(), log_level="info", body_seconds=60)
    token = acme.client.headers["authorization"].removeprefix("Bearer ")
    with Deployment(own, tmp_path) as deployment:
        process = await deployment.start_api()
        async with deployment.client(token) as client:
            client.timeout = httpx.Timeout(60)
            (await client.post(CONTACTS, json={"first_name": "Ada"})).raise_for_status()
            before = peak_of(process)
            json_answers = await _at_once(client, CONTACTS, "application/json", mebibytes=8)
            forms = await _at_once(client, IMPORTS, 'multipart/form-data; boundary="b"', mebibytes=2)
            after = peak_of(process)

    assert all(problem_of(answer, 413, "too-large") for answer in json_answers)
    assert all(problem_of(answer, 400, "malformed") for answer in forms)
    assert after - before < GROWTH, f"{(after - before) / MEBIBYTE:.0f} MiB more"


async def _at_once(client: httpx.AsyncClient, path: str, media_type: str, *, mebibytes: int) -> list[httpx.Response]:
    headers = {"content-type": media_type, "idempotency-key": "one"}
    return await asyncio.gather(
        *(
            client.post(path, content=flood(mebibytes), headers=headers | {"idempotency-key": str(number)})
            for number in range(AT_ONCE)
        )
    )
