"""Importing in tests: upload, run the job, and see what has become of the file and of the contacts."""

from typing import Any

from sqlalchemy import text

from core.testing.tenants import Tenant

IMPORTS = "/api/v1/networking/imports"
CONTACTS = "/api/v1/networking/contacts"
HASH = """
    SELECT count(*) || ' ' || coalesce(md5(string_agg(md5((to_jsonb(t) - 'version')::text), '' ORDER BY t.id)), '')
    FROM {table} t WHERE organization_id = :id
"""
"""All columns of all rows but `version`, which only ever goes up: it is what an open form is compared with."""


async def upload(tenant: Tenant, content: bytes, name: str = "contacts.csv", **options: str) -> dict[str, Any]:
    answer = await tenant.client.post(IMPORTS, files={"file": (name, content, "text/csv")}, data=options)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{IMPORTS}/{answer.json()['id']}"
    return answer.json()


async def told(tenant: Tenant, job: dict[str, Any]) -> dict[str, Any]:
    return (await tenant.client.get(f"{IMPORTS}/{job['id']}")).json()


async def imported(tenant: Tenant, content: bytes, **options: str) -> dict[str, Any]:
    """The import, once it is over."""
    job = await upload(tenant, content, **options)
    await tenant.run_jobs()
    return await told(tenant, job)


async def report(tenant: Tenant, job: dict[str, Any]) -> list[tuple[int, str, str | None]]:
    """Line, outcome and code of every row."""
    answer = await tenant.client.get(f"{IMPORTS}/{job['id']}/rows", params={"limit": 200})
    assert answer.json()["next_cursor"] is None
    return [(row["line"], row["outcome"], row["code"]) for row in answer.json()["items"]]


async def reverted(tenant: Tenant, job: dict[str, Any]) -> dict[str, Any]:
    answer = await tenant.client.post(f"{IMPORTS}/{job['id']}/revert")
    assert answer.status_code == 202, answer.text
    await tenant.run_jobs()
    return await told(tenant, job)


async def contacts(tenant: Tenant, **params: Any) -> list[dict[str, Any]]:
    params = {"sort": "first_name", "limit": 200} | params
    return (await tenant.client.get(CONTACTS, params=params)).json()["items"]


async def add(tenant: Tenant, **values: Any) -> dict[str, Any]:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def hash_of(tenant: Tenant, table: str = "networking.contacts") -> str:
    async with tenant.database.system() as system:
        return str(await system.scalar(text(HASH.format(table=table)), {"id": tenant.organization_id}))
