"""Who a credential belongs to is remembered, and forgotten with whatever changes it, whoever and wherever that is."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import time_machine
from msgspec import structs
from sqlalchemy import text

from core import clock
from core.errors import Unauthenticated
from core.identity.principals import KEEP, KEPT, Principals
from core.permissions import Role
from core.principal import Principal, PrincipalKind
from core.settings import Settings
from core.testing.processes import Deployment, free_port
from core.testing.tenants import Tenant, make_member
from core.testing.waiting import until

BITES_WITHIN_SECONDS = 1.0
CONTACTS = "/api/v1/networking/contacts"
SHUTTING_OUT = {
    "the session is revoked": "UPDATE core.sessions SET revoked_at = now() WHERE user_id = :user",
    "the session ends earlier": "UPDATE core.sessions SET expires_at = now() WHERE user_id = :user",
    "the session is gone": "DELETE FROM core.sessions WHERE user_id = :user",
    "the person is disabled": "UPDATE core.users SET is_active = false WHERE id = :user",
    "the person is deleted": "UPDATE core.users SET is_deleted = true WHERE id = :user",
    "the member is deactivated": "UPDATE core.memberships SET is_active = false WHERE user_id = :user",
    "the member is gone": "DELETE FROM core.memberships WHERE user_id = :user",
    "the member is demoted": "UPDATE core.memberships SET role = 'viewer' WHERE user_id = :user",
    "the organization is suspended": "UPDATE core.organizations SET is_active = false WHERE id = :organization",
    "the organization is deleted": "UPDATE core.organizations SET is_deleted = true WHERE id = :organization",
}
GRANTED = {
    "the grant is withdrawn": "DELETE FROM core.role_grants WHERE user_id = :user",
    "the role gives less": "UPDATE core.roles SET permissions = '{}' WHERE organization_id = :organization",
    "the role is deleted": "UPDATE core.roles SET is_deleted = true WHERE organization_id = :organization",
}


async def change(tenant: Tenant, statement: str) -> None:
    """As another process would: this one is told by the database alone."""
    async with tenant.database.system() as system:
        await system.execute(text(statement), {"user": tenant.user_id, "organization": tenant.organization_id})


async def may_write(tenant: Tenant) -> bool:
    return (await tenant.client.post(CONTACTS, json={"first_name": "Ada"})).status_code == 201


@pytest.mark.parametrize("statement", SHUTTING_OUT.values(), ids=SHUTTING_OUT.keys())
async def test_what_shuts_somebody_out_bites_within_a_second(acme: Tenant, statement: str) -> None:
    member = await make_member(acme, Role.MEMBER)
    assert await may_write(member)

    await change(member, statement.replace(":organization", f"'{acme.organization_id}'"))

    async def is_out() -> bool:
        return not await may_write(member)

    await until(is_out, within=BITES_WITHIN_SECONDS)
    assert await is_out()


@pytest.mark.parametrize("statement", GRANTED.values(), ids=GRANTED.keys())
async def test_what_a_role_gave_is_taken_within_a_second(acme: Tenant, statement: str) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    assert not await may_write(viewer)
    body = {"name": uuid4().hex, "permissions": ["networking:write"]}
    role = (await acme.client.post("/api/v1/roles", json=body)).json()["id"]
    grant = {"user_id": str(viewer.user_id), "role_id": role}
    (await acme.client.post("/api/v1/grants", json=grant)).raise_for_status()
    assert await may_write(viewer)

    await change(viewer, statement)

    async def is_out() -> bool:
        return not await may_write(viewer)

    await until(is_out, within=BITES_WITHIN_SECONDS)
    assert await is_out()


async def test_what_one_process_changes_another_knows_within_a_second(
    settings: Settings, acme: Tenant, tmp_path: Path
) -> None:
    token = acme.client.headers["authorization"].removeprefix("Bearer ")
    with Deployment(structs.replace(settings, port=free_port(), log_level="info"), tmp_path) as deployment:
        await deployment.start_api()
        async with deployment.client(token) as elsewhere:
            assert (await elsewhere.get(CONTACTS)).status_code == 200
            (await acme.client.post("/api/v1/auth/logout")).raise_for_status()

            async def is_out() -> bool:
                return (await elsewhere.get(CONTACTS)).status_code == 401

            await until(is_out, within=BITES_WITHIN_SECONDS)
            assert await is_out()


class Book:
    """An authenticator that counts how often each bearer was looked up, and can be disturbed meanwhile."""

    def __init__(self) -> None:
        self.entries: dict[str, Principal] = {}
        self.asked: list[str] = []
        self.meanwhile = lambda: None

    def enter(self, bearer: str, **more: object) -> Principal:
        given = {"kind": PrincipalKind.USER, "organization_id": uuid4(), "user_id": uuid4(), **more}
        self.entries[bearer] = Principal(**given)  # type: ignore[arg-type]
        return self.entries[bearer]

    async def authenticate(self, bearer: str, *, even_suspended: bool = False) -> Principal:
        self.asked.append(f"{bearer}{' even suspended' if even_suspended else ''}")
        await asyncio.sleep(0)
        self.meanwhile()
        if bearer not in self.entries:
            raise Unauthenticated
        return self.entries[bearer]


async def test_a_credential_is_looked_up_once_for_a_while() -> None:
    book = Book()
    ada, principals = book.enter("ada"), Principals(book)
    with time_machine.travel(clock.now(), tick=False) as traveller:
        assert [await principals.authenticate("ada") for _ in range(3)] == [ada] * 3
        assert book.asked == ["ada"]
        traveller.shift(KEEP)
        await principals.authenticate("ada")
    assert book.asked == ["ada"] * 2


async def test_a_credential_is_never_remembered_beyond_its_end() -> None:
    book = Book()
    principals = Principals(book)
    with time_machine.travel(clock.now(), tick=False) as traveller:
        book.enter("ada", valid_until=clock.now() + timedelta(seconds=2))
        await principals.authenticate("ada")
        traveller.shift(2)
        await principals.authenticate("ada")
    assert book.asked == ["ada"] * 2


async def test_an_announcement_forgets_whom_it_is_about_and_nobody_else() -> None:
    book = Book()
    ada, bob = book.enter("ada"), book.enter("bob")
    principals = Principals(book)

    async def asked_again(key: str | None) -> list[str]:
        for bearer in ("ada", "bob"):
            await principals.authenticate(bearer)
        book.asked.clear()
        principals.hear(key)
        for bearer in ("ada", "bob"):
            await principals.authenticate(bearer)
        return book.asked

    assert await asked_again(f"user:{ada.user_id}") == ["ada"]
    assert await asked_again(f"organization:{bob.organization_id}") == ["bob"]
    assert await asked_again(f"user:{UUID(int=0)}") == []
    assert await asked_again("anybody") == ["ada", "bob"]
    assert await asked_again(None) == ["ada", "bob"]


async def test_what_was_read_before_a_change_was_heard_of_is_not_remembered() -> None:
    book = Book()
    ada, principals = book.enter("ada"), Principals(book)
    book.meanwhile = lambda: principals.hear(f"user:{ada.user_id}")
    await principals.authenticate("ada")
    await principals.authenticate("ada")

    assert book.asked == ["ada"] * 2


async def test_many_requests_at_once_are_one_look() -> None:
    book = Book()
    ada, principals = book.enter("ada"), Principals(book)
    impatient = asyncio.create_task(principals.authenticate("ada"))
    others = [asyncio.create_task(principals.authenticate("ada")) for _ in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()

    assert await asyncio.gather(*others) == [ada] * 20
    assert book.asked == ["ada"]


async def test_who_asks_after_a_change_does_not_join_a_look_from_before() -> None:
    book = Book()
    ada, principals = book.enter("ada"), Principals(book)
    before = asyncio.create_task(principals.authenticate("ada"))
    await asyncio.sleep(0)
    principals.hear(f"user:{ada.user_id}")
    after = asyncio.create_task(principals.authenticate("ada"))

    assert await asyncio.gather(before, after) == [ada] * 2
    assert book.asked == ["ada"] * 2


async def test_operators_and_those_in_somebodys_place_are_looked_up_each_time() -> None:
    book = Book()
    book.enter("operator", platform=frozenset({"platform:read"}))
    book.enter("in somebody's place", impersonator_id=uuid4())
    principals = Principals(book)
    for bearer in book.entries:
        await principals.authenticate(bearer)
        await principals.authenticate(bearer)

    assert book.asked == ["operator"] * 2 + ["in somebody's place"] * 2


async def test_what_lets_in_even_the_suspended_lets_nobody_in_elsewhere() -> None:
    book = Book()
    book.enter("ada")
    principals = Principals(book)
    await principals.authenticate("ada", even_suspended=True)
    await principals.authenticate("ada")

    assert book.asked == ["ada even suspended", "ada"]


async def test_a_credential_that_does_not_count_is_looked_up_each_time() -> None:
    book = Book()
    principals = Principals(book)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await principals.authenticate("nobody")

    assert book.asked == ["nobody"] * 2


async def test_only_so_many_are_remembered() -> None:
    book = Book()
    principals = Principals(book)
    for number in range(KEPT + 1):
        book.enter(str(number))
        await principals.authenticate(str(number))
    book.asked.clear()
    for bearer in ("0", str(KEPT)):
        await principals.authenticate(bearer)

    assert book.asked == ["0"]
