"""Organizations and profiles: settings, a further one, deleting and bringing back."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine
from letterbox import Letterbox
from sqlalchemy import update

from core import clock
from core.identity.models import Membership, User
from core.permissions import Role
from core.testing.tenants import PASSWORD, Tenant, make_member

CURRENT = "/api/v1/organizations/current"
PROFILE = "/api/v1/users/me/profile"


async def delete(tenant: Tenant) -> httpx.Response:
    return await tenant.client.post(f"{CURRENT}/deletion", json={"slug": tenant.slug})


async def restore(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/v1/auth/restore-organization", json={"token": token})


async def test_the_settings_change_one_by_one(acme: Tenant) -> None:
    await acme.client.patch(CURRENT, json={"settings": {"time_zone": "Asia/Kolkata"}})

    answer = await acme.client.patch(CURRENT, json={"name": "Acme", "settings": {"currency": "INR"}})

    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "Acme"
    assert answer.json()["settings"] == {
        "time_zone": "Asia/Kolkata",
        "locale": "en",
        "currency": "INR",
        "country": None,
    }


@pytest.mark.parametrize("zone", ["Mars/Olympus", "localtime"])
async def test_a_time_zone_that_there_is_not_is_refused(acme: Tenant, zone: str) -> None:
    """`localtime` is a file that many machines have among their zones, each another one."""
    answer = await acme.client.patch(CURRENT, json={"settings": {"time_zone": zone}})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "settings.time_zone")


async def test_a_stale_change_of_the_organization_is_refused(acme: Tenant) -> None:
    tag = (await acme.client.get(CURRENT)).headers["etag"]
    await acme.client.patch(CURRENT, json={"name": "First"})

    answer = await acme.client.patch(CURRENT, json={"name": "Second"}, headers={"if-match": tag})

    assert answer.status_code == 412
    assert (await acme.client.get(CURRENT)).json()["name"] == "First"


async def test_twenty_changes_from_one_version_are_one_change(acme: Tenant) -> None:
    tag = (await acme.client.get(CURRENT)).headers["etag"]

    answers = await asyncio.gather(
        *(acme.client.patch(CURRENT, json={"name": f"N{n}"}, headers={"if-match": tag}) for n in range(20))
    )

    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.status_code for answer in answers} <= {200, 409, 412}


async def test_a_person_makes_a_further_organization_and_owns_it(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)
    slug = f"o-{uuid4().hex[:10]}"

    made = await member.client.post("/api/v1/organizations", json={"name": "Second", "slug": slug})

    assert made.status_code == 201, made.text
    assert (await member.client.post("/api/v1/auth/switch", json={"organization": slug})).status_code == 200
    listed = (await member.client.get("/api/v1/users/me/organizations")).json()["items"]
    assert {each["slug"]: each["role"] for each in listed} == {acme.slug: "member", slug: "owner"}


async def test_a_short_name_belongs_to_one_organization(acme: Tenant) -> None:
    slug = f"o-{uuid4().hex[:10]}"

    answers = await asyncio.gather(
        *(acme.client.post("/api/v1/organizations", json={"name": "Second", "slug": slug}) for _ in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_whoever_has_not_confirmed_their_address_makes_no_further_organization(acme: Tenant) -> None:
    async with acme.database.system() as system:
        await system.execute(update(User).where(User.id == acme.user_id).values(is_verified=False))

    answer = await acme.client.post("/api/v1/organizations", json={"name": "Second", "slug": f"o-{uuid4().hex[:9]}"})

    assert (answer.status_code, answer.json()["code"]) == (403, "email-not-verified")


@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER])
async def test_only_an_owner_deletes_the_organization(acme: Tenant, role: Role) -> None:
    assert (await delete(await make_member(acme, role))).status_code == 403


async def test_deleting_takes_the_organizations_own_name(acme: Tenant, globex: Tenant) -> None:
    answer = await acme.client.post(f"{CURRENT}/deletion", json={"slug": globex.slug})

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-slug")
    assert (await globex.client.get(CURRENT)).status_code == 200


async def test_a_deleted_organization_is_closed_to_everybody_until_an_owner_brings_it_back(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    member = await make_member(acme, Role.MEMBER)

    assert (await delete(acme)).status_code == 200

    assert [(await each.client.get(CURRENT)).status_code for each in (acme, member)] == [401, 401]
    login = await anonymous.post("/api/v1/auth/login", json={"email": acme.email, "password": PASSWORD})
    assert login.status_code == 401
    await letterbox.deliver()
    assert letterbox.to(member.email) == []
    answer = await restore(anonymous, letterbox.last_to(acme.email).token)
    assert answer.status_code == 204, answer.text
    assert [(await each.client.get(CURRENT)).status_code for each in (acme, member)] == [200, 200]


async def test_a_deleted_organization_can_not_be_brought_back_after_the_grace(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    await delete(acme)
    await letterbox.deliver()

    with time_machine.travel(clock.now() + timedelta(days=30), tick=True):
        answer = await restore(anonymous, letterbox.last_to(acme.email).token)

    assert answer.status_code == 404


async def test_a_link_that_brings_it_back_does_not_outlive_its_holders_ownership(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    await make_member(acme, Role.OWNER)
    await delete(acme)
    await letterbox.deliver()
    token = letterbox.last_to(acme.email).token
    async with acme.database.system() as system:
        await system.execute(
            update(Membership)
            .where(Membership.organization_id == acme.organization_id, Membership.user_id == acme.user_id)
            .values(role="member")
        )

    assert (await restore(anonymous, token)).status_code == 404


async def test_a_person_changes_their_own_profile(acme: Tenant) -> None:
    member = await make_member(acme, Role.VIEWER)

    answer = await member.client.patch(PROFILE, json={"first_name": "Vera", "job_title": "Scout", "phone": None})

    assert (answer.status_code, answer.json()["first_name"], answer.json()["job_title"]) == (200, "Vera", "Scout")
    assert (await member.client.get(PROFILE)).json() == answer.json()
    seen = (await acme.client.get(f"/api/v1/members/{member.user_id}")).json()
    assert (seen["first_name"], seen["job_title"]) == ("Vera", "Scout")


async def test_a_stale_change_of_the_profile_is_refused(acme: Tenant) -> None:
    tag = (await acme.client.get(PROFILE)).headers["etag"]
    await acme.client.patch(PROFILE, json={"company": "Acme"})

    answer = await acme.client.patch(PROFILE, json={"company": "Globex"}, headers={"if-match": tag})

    assert answer.status_code == 412


@pytest.mark.parametrize("field", ["email", "is_verified", "is_admin", "password_hash", "organization_id", "version"])
async def test_what_is_no_profile_is_not_changed_with_it(acme: Tenant, field: str) -> None:
    answer = await acme.client.patch(PROFILE, json={field: True})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "unknown")
