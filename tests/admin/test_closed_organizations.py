"""A suspended organization is closed to its people, who are told so; its jobs wait, and nothing is lost."""

import asyncio
import re
from typing import Any

from sqlalchemy import select

from core.app import Application
from core.cli.permissions import access_to_routes
from core.ids import new_id
from core.tasks.models import OutboxJob
from core.testing.tenants import PASSWORD, Tenant, client_of
from tests.admin.conftest import ask, open_again, organization_url, suspend

LOGIN, ME, IMPORTS = "/api/v1/auth/login", "/api/v1/users/me", "/api/v1/networking/imports"
CSV = b"first_name\nAda\nGrace\n"
OPEN_ALL_THE_SAME = {
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/switch",
    "GET /api/v1/users/me/organizations",
}
"""The ways out of it."""


async def test_every_route_but_the_ways_out_says_so(application: Application, operator: Tenant, acme: Tenant) -> None:
    await suspend(operator, acme)
    answers = {}
    for access in access_to_routes(application.litestar):
        method, path = access.route.split(" ")
        if access.needs == "nobody signed in" or access.route in OPEN_ALL_THE_SAME or "/admin/" in path:
            continue
        url = re.sub(r"{\w+:\w+}", lambda _: str(new_id()), path)
        answer = await acme.client.request(method, url, json={} if method != "GET" else None)
        answers[access.route] = (answer.status_code, answer.json()["code"])

    assert len(answers) > 40
    assert set(answers.values()) == {(403, "organization-suspended")}


async def test_the_ways_out_are_open(operator: Tenant, acme: Tenant) -> None:
    data = {"name": "Second", "slug": f"s-{new_id().hex[-12:]}"}
    await acme.client.post("/api/v1/organizations", json=data)
    await suspend(operator, acme)

    listed = await acme.client.get("/api/v1/users/me/organizations")
    back = await acme.client.post("/api/v1/auth/switch", json={"organization": acme.slug})
    switched = await acme.client.post("/api/v1/auth/switch", json={"organization": data["slug"]})
    left = await acme.client.post("/api/v1/auth/logout")

    elsewhere = client_of(acme.application, token=switched.json()["access_token"])
    assert [organization["slug"] for organization in listed.json()["items"]] == [data["slug"]]
    assert (back.status_code, back.json()["code"]) == (403, "organization-suspended")
    assert (await elsewhere.get(ME)).json()["organization"]["slug"] == data["slug"]
    assert left.status_code == 204


async def test_an_api_key_is_told_as_well(operator: Tenant, acme: Tenant) -> None:
    made = await acme.client.post("/api/v1/api-keys", json={"name": "CRM", "scopes": ["networking:read"]})
    program = client_of(acme.application, token=made.json()["key"])
    await suspend(operator, acme)

    refused = await program.get("/api/v1/networking/contacts")
    await open_again(operator, acme)

    assert (refused.status_code, refused.json()["code"]) == (403, "organization-suspended")
    assert (await program.get("/api/v1/networking/contacts")).status_code == 200


async def test_only_the_right_password_learns_of_it(operator: Tenant, acme: Tenant) -> None:
    await suspend(operator, acme)
    anonymous = client_of(acme.application)

    wrong = await anonymous.post(LOGIN, json={"email": acme.email, "password": f"{PASSWORD}-not"})
    right = await anonymous.post(LOGIN, json={"email": acme.email, "password": PASSWORD})

    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid-credentials")
    assert (right.status_code, right.json()["code"]) == (403, "organization-suspended")


async def test_whoever_is_in_another_as_well_signs_in_there(operator: Tenant, acme: Tenant) -> None:
    data = {"name": "Second", "slug": f"s-{new_id().hex[-12:]}"}
    await acme.client.post("/api/v1/organizations", json=data)
    await suspend(operator, acme)
    anonymous = client_of(acme.application)

    pair = (await anonymous.post(LOGIN, json={"email": acme.email, "password": PASSWORD})).json()

    me = await client_of(acme.application, token=pair["access_token"]).get(ME)
    assert me.json()["organization"]["slug"] == data["slug"]


async def test_a_deleted_one_says_nothing(operator: Tenant, acme: Tenant) -> None:
    await ask(operator, "POST", organization_url(acme, "/deletion"), json={"slug": acme.slug})

    signed_in = await acme.client.get(ME)
    signing_in = await client_of(acme.application).post(LOGIN, json={"email": acme.email, "password": PASSWORD})

    assert (signed_in.status_code, signing_in.status_code) == (401, 401)


async def upload(tenant: Tenant) -> str:
    answer = await tenant.client.post(IMPORTS, files={"file": ("contacts.csv", CSV, "text/csv")})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def jobs_of(tenant: Tenant) -> list[OutboxJob]:
    async with tenant.database.system() as system:
        found = await system.scalars(select(OutboxJob).where(OutboxJob.organization_id == tenant.organization_id))
        return list(found)


async def contacts_of(tenant: Tenant) -> int:
    return len((await tenant.client.get("/api/v1/networking/contacts")).json()["items"])


async def test_its_jobs_wait_and_go_on(operator: Tenant, acme: Tenant) -> None:
    await upload(acme)
    await suspend(operator, acme)

    ran = await acme.run_jobs()
    waiting = await jobs_of(acme)
    await open_again(operator, acme)
    ran_then = await acme.run_jobs()

    assert ran == 0
    assert [(job.held_at is not None, job.done_at, job.attempts) for job in waiting] == [(True, None, 0)]
    assert (ran_then >= 1, await contacts_of(acme)) == (True, 2)


async def test_a_job_that_comes_in_meanwhile_is_put_aside_and_goes_on(operator: Tenant, acme: Tenant) -> None:
    await suspend(operator, acme)
    job = OutboxJob(organization_id=acme.organization_id, id=new_id(), actor="core.send_nothing", queue="mail")
    async with acme.database.system() as system:
        system.add(job)

    await acme.run_jobs()
    (waiting,) = await jobs_of(acme)
    await open_again(operator, acme)
    await acme.run_jobs()

    (done,) = await jobs_of(acme)
    assert (waiting.held_at is not None, waiting.done_at, waiting.attempts, waiting.lease) == (True, None, 0, None)
    assert (done.done_at is not None, done.attempts) == (True, 1)


async def test_jobs_of_a_module_that_is_off_go_on_waiting_when_it_opens(operator: Tenant, acme: Tenant) -> None:
    await upload(acme)
    module = organization_url(acme, "/modules/networking")
    await ask(operator, "PUT", module, json={"state": "suspended"})
    await suspend(operator, acme)
    await open_again(operator, acme)

    await acme.run_jobs()
    waiting = await jobs_of(acme)
    await ask(operator, "PUT", module, json={"state": "enabled"})
    await acme.run_jobs()

    assert [(job.held_at is not None, job.done_at) for job in waiting] == [(True, None)]
    assert await contacts_of(acme) == 2


async def test_a_module_that_is_turned_on_meanwhile_lets_no_job_run(operator: Tenant, acme: Tenant) -> None:
    await upload(acme)
    module = organization_url(acme, "/modules/networking")
    await ask(operator, "PUT", module, json={"state": "suspended"})
    await suspend(operator, acme)
    await ask(operator, "PUT", module, json={"state": "enabled"})

    await acme.run_jobs()
    waiting = await jobs_of(acme)
    await open_again(operator, acme)
    await acme.run_jobs()

    assert [(job.held_at is not None, job.done_at) for job in waiting] == [(True, None)]
    assert await contacts_of(acme) == 2


async def test_a_deleted_ones_jobs_go_on_when_it_is_brought_back(operator: Tenant, acme: Tenant) -> None:
    await upload(acme)
    await ask(operator, "POST", organization_url(acme, "/deletion"), json={"slug": acme.slug})
    while_deleted = await acme.run_jobs()

    await ask(operator, "POST", organization_url(acme, "/restore"))
    await acme.run_jobs()

    assert (while_deleted, await contacts_of(acme)) == (0, 2)


async def test_no_job_is_forgotten_however_often_it_opens_and_closes(operator: Tenant, acme: Tenant) -> None:
    """Whoever puts a job aside and whoever lets all go that wait never miss each other."""
    await upload(acme)

    async def toggle() -> None:
        for _ in range(8):
            await suspend(operator, acme)
            await open_again(operator, acme)

    async def work() -> None:
        for _ in range(30):
            await acme.run_jobs()

    await asyncio.gather(toggle(), work(), work())
    await acme.make_jobs_due()
    await acme.run_jobs()

    states: list[Any] = [(job.held_at, job.done_at is not None) for job in await jobs_of(acme)]
    assert {done for _, done in states} == {True}
    assert await contacts_of(acme) == 2
