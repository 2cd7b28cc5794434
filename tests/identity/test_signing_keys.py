"""Signing keys: replaced without a token being refused, known to every process, never seen in the clear."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import uuid4

import httpx
import jwt
import pytest
import time_machine
from msgspec import structs
from sqlalchemy import event, func, select, text

from core import clock
from core.db.database import Database
from core.errors import Unauthenticated
from core.identity.credential_models import SigningKey
from core.identity.signing_keys import LEAD, MAX_AGE, SigningKeys
from core.identity.tokens import AccessClaims, TokenSigner
from core.runtime import Runtime
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys
from core.testing.tenants import Tenant

ACCESS_SECONDS = 900.0
CLAIMS = AccessClaims(user_id=uuid4(), session_id=uuid4(), organization_id=uuid4())


async def read(signer: TokenSigner, token: str) -> AccessClaims:
    """What it says, but for when it ends."""
    return structs.replace(await signer.read_access(token), ends_at=None)


@pytest.fixture
async def scratch_database(scratch: Runtime) -> AsyncGenerator[Database]:
    async with scratch.open_database("signing-keys") as database:
        yield database


def process(database: Database, scratch: Runtime) -> TokenSigner:
    """What one process signs and verifies with."""
    vault = Vault(database, WrappingKeys(scratch.settings.wrapping_keys))
    keys = SigningKeys(database, vault, access_seconds=ACCESS_SECONDS)
    return TokenSigner(keys, scratch.settings.secret_key, access_seconds=ACCESS_SECONDS)


def kid_of(token: str) -> str:
    return jwt.get_unverified_header(token)["kid"]


async def test_processes_that_start_at_once_sign_with_one_key(scratch_database: Database, scratch: Runtime) -> None:
    processes = [process(scratch_database, scratch) for _ in range(8)]

    tokens = await asyncio.gather(*(each.issue_access(CLAIMS) for each in processes))

    assert len({kid_of(token) for token in tokens}) == 1
    async with scratch_database.system() as system:
        assert await system.scalar(select(func.count()).select_from(SigningKey)) == 1


async def test_tokens_of_the_former_key_stay_valid(scratch_database: Database, scratch: Runtime) -> None:
    here = process(scratch_database, scratch)
    before = await here.issue_access(CLAIMS)

    await here.keys.rotate()
    after = await here.issue_access(CLAIMS)

    assert kid_of(before) != kid_of(after)
    elsewhere = process(scratch_database, scratch)
    assert await read(elsewhere, before) == await read(elsewhere, after) == CLAIMS


async def test_every_process_learns_a_new_key_at_once(scratch_database: Database, scratch: Runtime) -> None:
    here, elsewhere = process(scratch_database, scratch), process(scratch_database, scratch)
    await elsewhere.read_access(await here.issue_access(CLAIMS))

    await here.keys.rotate()

    assert await read(elsewhere, await here.issue_access(CLAIMS)) == CLAIMS


async def test_every_process_signs_with_a_new_key_within_a_minute(scratch_database: Database, scratch: Runtime) -> None:
    here, elsewhere = process(scratch_database, scratch), process(scratch_database, scratch)
    await elsewhere.issue_access(CLAIMS)

    made = await here.keys.rotate()

    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=True):
        assert kid_of(await elsewhere.issue_access(CLAIMS)) == str(made)


async def test_forged_key_ids_cost_one_look_a_second(scratch_database: Database, scratch: Runtime) -> None:
    here = process(scratch_database, scratch)
    good = await here.issue_access(CLAIMS)
    forged = [
        jwt.encode(
            {}, (await here.keys.signer()).key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": str(uuid4())}
        )
        for _ in range(200)
    ]
    looks: list[str] = []
    engine = scratch_database._system.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: looks.append(arguments[2]))
    started = asyncio.get_running_loop().time()
    refused: list[AccessClaims | BaseException] = []

    for wave in (forged[:100], forged[100:150], forged[150:]):
        refused += await asyncio.gather(*(here.read_access(token) for token in wave), return_exceptions=True)

    seconds = asyncio.get_running_loop().time() - started
    assert all(isinstance(error, Unauthenticated) for error in refused)
    assert len([look for look in looks if "signing_keys" in look]) <= seconds + 1
    assert await read(here, good) == CLAIMS


async def test_a_key_is_replaced_by_age_and_published_before_it_signs(
    scratch_database: Database, scratch: Runtime
) -> None:
    here = process(scratch_database, scratch)
    first = kid_of(await here.issue_access(CLAIMS))
    due = clock.now() + MAX_AGE - LEAD + timedelta(minutes=1)

    with time_machine.travel(due, tick=True):
        still = kid_of(await here.issue_access(CLAIMS))
        published = {key.kid for key in (await process(scratch_database, scratch).keys.jwks()).keys}
    with time_machine.travel(due + LEAD + timedelta(minutes=1), tick=True):
        then = kid_of(await here.issue_access(CLAIMS))

    assert still == first
    assert published == {first, then}
    assert then != first


async def test_a_key_goes_once_its_last_token_has_ended(scratch_database: Database, scratch: Runtime) -> None:
    here = process(scratch_database, scratch)
    last = await here.issue_access(CLAIMS)
    await here.keys.rotate()

    with time_machine.travel(clock.now() + timedelta(seconds=ACCESS_SECONDS - 10), tick=True):
        assert await read(process(scratch_database, scratch), last) == CLAIMS
    with time_machine.travel(clock.now() + timedelta(seconds=ACCESS_SECONDS + 300), tick=True):
        published = await process(scratch_database, scratch).keys.jwks()

    assert kid_of(last) not in {key.kid for key in published.keys}
    assert len(published.keys) == 1


async def test_a_private_key_is_nowhere_in_the_clear(scratch_database: Database, scratch: Runtime) -> None:
    here = process(scratch_database, scratch)
    raw = (await here.keys.signer()).key.private_bytes_raw()

    async with scratch_database.system() as system:
        rows = (await system.scalars(text("SELECT row_to_json(k)::text FROM core.signing_keys AS k"))).all()

    assert rows
    assert all(raw.hex() not in row and base64.b64encode(raw).decode() not in row for row in rows)


async def test_the_public_keys_are_published(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/.well-known/jwks.json")

    assert answer.status_code == 200
    assert "max-age=300" in answer.headers["cache-control"]
    assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in answer.json()["keys"])
    token = acme.client.headers["authorization"].removeprefix("Bearer ")
    key = jwt.PyJWKSet.from_dict(answer.json())[kid_of(token)]
    assert jwt.decode(token, key, algorithms=["EdDSA"], audience="the-plugs-api")["sub"] == str(acme.user_id)
