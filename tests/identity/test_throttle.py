"""The throttle of sign-ins: growing delays, no lock-out, the same for all, and in PostgreSQL alone."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine
from msgspec import structs
from sqlalchemy import func, select, text

from core import clock
from core.app import create_app
from core.db.database import Database
from core.errors import TooManyRequests
from core.identity.credential_models import SignInAttempts
from core.identity.origins import Origin
from core.identity.throttle import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, LONGEST, SWEEP, Throttle
from core.runtime import Runtime, make_runtime
from core.settings import Settings
from core.testing.tenants import PASSWORD, Tenant, client_of

LOGIN = "/api/v1/auth/login"
WRONG = "not the password"
SECRET = "a secret of the throttle's own tests"


async def sign_in(client: httpx.AsyncClient, email: str, password: str = WRONG) -> httpx.Response:
    return await client.post(LOGIN, json={"email": email, "password": password})


def somebody() -> str:
    return f"{uuid4().hex}@nowhere.example"


async def wait_of(throttle: Throttle, account: str) -> int:
    """Seconds that the account has to wait now; 0 where it needn't."""
    try:
        await throttle.check(account=account)
    except TooManyRequests as error:
        return error.retry_after
    return 0


async def test_failures_beyond_a_few_have_to_wait(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    answers = [await sign_in(anonymous, acme.email) for _ in range(ACCOUNT.free + 2)]

    assert [answer.status_code for answer in answers] == [401] * (ACCOUNT.free + 1) + [429]
    assert answers[-1].json()["code"] == "too-many-attempts"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].headers["content-type"] == "application/problem+json"


async def test_known_and_unknown_accounts_are_treated_alike(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    known = [await sign_in(anonymous, acme.email) for _ in range(9)]
    unknown = [await sign_in(anonymous, somebody_else) for somebody_else in [somebody()] * 9]

    def told(answers: list[httpx.Response]) -> list[tuple[int, dict[str, object]]]:
        return [(answer.status_code, {**answer.json(), "correlation_id": ""}) for answer in answers]

    assert told(known) == told(unknown)


async def test_who_has_to_wait_is_not_told_whether_the_password_is_right(acme: Tenant) -> None:
    async with client_of(acme.application) as attacker:
        for _ in range(ACCOUNT.free + 2):
            wrong = await sign_in(attacker, acme.email)
        right = await sign_in(attacker, acme.email, PASSWORD)

    assert wrong.status_code == right.status_code == 429
    assert {**wrong.json(), "correlation_id": ""} == {**right.json(), "correlation_id": ""}


async def test_of_many_guesses_at_once_only_a_few_are_answered(acme: Tenant) -> None:
    async with client_of(acme.application) as attacker:
        answers = await asyncio.gather(*(sign_in(attacker, acme.email) for _ in range(40)))

    assert sum(answer.status_code == 401 for answer in answers) <= ACCOUNT.free + 1


async def test_the_delay_grows_and_is_never_a_lock_out(database: Database) -> None:
    throttle, account, waits = Throttle(database, SECRET), somebody(), list[int]()
    moment = clock.now()

    for _ in range(30):
        with time_machine.travel(moment, tick=False):
            assert await wait_of(throttle, account) == 0
            await throttle.failed(account=account)
            waits.append(await wait_of(throttle, account))
        moment += timedelta(seconds=waits[-1])

    assert waits[: ACCOUNT.free] == [0] * ACCOUNT.free
    assert waits[ACCOUNT.free : ACCOUNT.free + 5] == [1, 2, 4, 8, 16]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST.total_seconds()


async def test_a_success_clears_the_account(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    for _ in range(ACCOUNT.free):
        await sign_in(anonymous, acme.email)
    assert (await sign_in(anonymous, acme.email, PASSWORD)).status_code == 200

    answers = [await sign_in(anonymous, acme.email) for _ in range(ACCOUNT.free)]

    assert [answer.status_code for answer in answers] == [401] * ACCOUNT.free


async def test_an_account_is_the_same_in_capitals(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    for _ in range(ACCOUNT.free + 1):
        await sign_in(anonymous, acme.email)

    assert (await sign_in(anonymous, acme.email.upper())).status_code == 429


async def test_an_address_that_tries_many_accounts_has_to_wait(acme: Tenant, database: Database) -> None:
    async with client_of(acme.application) as attacker, client_of(acme.application) as other:
        failed = [await sign_in(attacker, somebody()) for _ in range(ADDRESS.free)]
        assert (await sign_in(attacker, acme.email, PASSWORD)).status_code == 200  # which clears the account alone
        failed.append(await sign_in(attacker, somebody()))
        then = await sign_in(attacker, acme.email, PASSWORD)
        elsewhere = await sign_in(other, acme.email, PASSWORD)

    assert {answer.status_code for answer in failed} == {401}
    assert then.status_code == 429
    assert elsewhere.status_code == 200


async def test_headers_do_not_make_it_another_address(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    async def attempt(number: int) -> httpx.Response:
        headers = {"x-forwarded-for": f"203.0.113.{number}", "forwarded": f"for=203.0.113.{number}"}
        data = {"email": somebody(), "password": "not the password"}
        return await anonymous.post(LOGIN, json=data, headers=headers)

    answers = [await attempt(number) for number in range(ADDRESS.free + 2)]

    assert answers[-1].status_code == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        (None, "not-an-address", True),
    ],
)
def test_an_ipv6_subscriber_is_one_place(one: str | None, other: str, same: bool) -> None:
    assert (Origin(address=one).network == Origin(address=other).network) is same


async def test_neither_account_nor_address_is_named(database: Database) -> None:
    account, origin = somebody(), Origin(address="198.51.100.77")
    await Throttle(database, SECRET).failed(account=account, origin=origin)

    async with database.system() as system:
        rows = (await system.scalars(text("SELECT row_to_json(a)::text FROM core.sign_in_attempts AS a"))).all()

    for value in (account, "198.51.100.77"):
        assert all(value not in row and value.encode().hex() not in row for row in rows)


async def test_purposes_are_counted_apart(database: Database) -> None:
    account = somebody()
    for _ in range(ACCOUNT.free + 1):
        await Throttle(database, SECRET).failed(account=account)

    assert await wait_of(Throttle(database, SECRET), account) > 0
    assert await wait_of(Throttle(database, SECRET, purpose="password-reset"), account) == 0


async def test_failures_of_yesterday_are_forgotten_and_swept(scratch: Runtime) -> None:
    async with scratch.open_database("throttle") as database:
        throttle = Throttle(database, SECRET)
        for _ in range(SWEEP + 5):
            await throttle.failed(account=somebody())

        with time_machine.travel(clock.now() + FORGOTTEN_AFTER + timedelta(minutes=1), tick=True):
            await throttle.failed(account=somebody())
            await throttle.failed(account=somebody())

        async with database.system() as system:
            assert await system.scalar(select(func.count()).select_from(SignInAttempts)) == 2


@pytest.fixture
async def without_redis(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    """The application, where nothing answers at Redis's address."""
    application = create_app(make_runtime(structs.replace(settings, redis_url="redis://127.0.0.1:1/0")))
    serving, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with application.litestar.lifespan():
            serving.set()
            await stop.wait()

    task = asyncio.create_task(serve())
    await serving.wait()
    async with client_of(application) as client:
        yield client
    stop.set()
    await task


async def test_it_holds_with_redis_stopped(without_redis: httpx.AsyncClient, acme: Tenant) -> None:
    answers = [await sign_in(without_redis, acme.email) for _ in range(ACCOUNT.free + 2)]

    assert [answer.status_code for answer in answers] == [401] * (ACCOUNT.free + 1) + [429]


async def test_all_processes_count_together(without_redis: httpx.AsyncClient, acme: Tenant) -> None:
    """Another process, or this one after a restart, knows of the failures."""
    for _ in range(ACCOUNT.free + 1):
        await sign_in(without_redis, acme.email)

    async with client_of(acme.application) as elsewhere:
        assert (await sign_in(elsewhere, acme.email, PASSWORD)).status_code == 429
