"""Export and erasure of a person: nothing of them stays in any table of networking."""

from uuid import UUID

from erasing import erase
from importing import IMPORTS, add, contacts, imported, report, upload
from sqlalchemy import text

from core.permissions import Role
from core.privacy.rights import export_subject
from core.sdk import People
from core.testing.rows import tenant_tables
from core.testing.tenants import Tenant, make_member

CONTACTS = "/api/v1/networking/contacts"
CONNECTIONS = "/api/v1/networking/connections"
MARK = "Zyxwvut"
"""In every value of the person that is erased but the number, and in nobody else's."""
EMAIL = f"{MARK}@example.com".lower()
PHONE = "+442079460018"


async def traces(tenant: Tenant, mark: str) -> list[str]:
    """The tables of networking in which the mark stands somewhere, in the bytes of a file too."""
    marks = [f"%{each}%" for each in (mark, mark.encode().hex(), mark.lower().encode().hex())]
    tables = [table.fullname for table in tenant_tables() if table.schema == "networking"]
    async with tenant.database.system() as system:
        return [
            name
            for name in tables
            if await system.scalar(
                text(f"SELECT count(*) FROM {name} t WHERE organization_id = :id AND t::text ILIKE ANY (:marks)"),
                {"id": tenant.organization_id, "marks": marks},
            )
        ]


async def erased_contact(acme: Tenant) -> list[str]:
    """One that was imported, changed by an import, merged with another record of theirs, met and scored, and that a
    draft and a row that was not taken name. Returns the tables that said something of them."""
    row = f"first_name,email,job_title\n{MARK},{EMAIL},{MARK}\n".encode()
    await imported(acme, row)
    await imported(acme, row.replace(b",Zyxwvut\n", b",Chief Zyxwvut\n"), mode="upsert")
    await imported(acme, f"first_name,email,status\nX,{EMAIL},{MARK}\n".encode())
    await upload(acme, f"first_name,email\nX,{EMAIL}\n".encode(), start="false")
    contact = (await acme.client.get(CONTACTS)).json()["items"][0]["id"]
    other = await add(acme, first_name=MARK, email=f"{MARK}@work.example", phone=PHONE, metadata={"nick": MARK})
    meeting = {"interaction_type": "meeting", "interaction_date": "2026-01-01T00:00:00Z", "subject": f"With {MARK}"}
    await acme.client.post(f"{CONTACTS}/{contact}/interactions", json=meeting)
    await acme.client.post(f"{CONTACTS}/{contact}/merges", json={"other_id": other["id"]})
    await acme.run_jobs()
    before = await traces(acme, MARK)
    await erase(acme, UUID(other["id"]))
    await acme.run_jobs()
    return before


async def test_an_erased_contact_leaves_no_trace_in_any_table(acme: Tenant) -> None:
    """Asked for by the id of the record that was merged into the other: both are that person."""
    before = await erased_contact(acme)

    tables = "contacts", "contact_import_rows", "contact_import_chunks", "contact_merges", "contact_interactions"
    assert set(before) >= {f"networking.{table}" for table in tables}
    assert await traces(acme, MARK) == []
    jobs = (await acme.client.get(IMPORTS)).json()["items"]
    assert {job["state"] for job in jobs} == {"done", "failed"}, "no draft names them any more"


async def test_no_import_brings_an_erased_person_back(acme: Tenant, globex: Tenant) -> None:
    """By either of their addresses or by their number, in any mode; and what is said of the rows names nobody."""
    await erased_contact(acme)
    rows = f"{EMAIL.upper()},\nX,new@example.com,{PHONE}\nX,{MARK}@work.example,\n"
    file = f"first_name,email,phone\nX,{rows}".encode()
    count = len(await contacts(acme))

    for mode in ("create", "upsert"):
        for dry_run in ("true", "false"):
            job = await imported(acme, file, mode=mode, duplicates="create", dry_run=dry_run)
            assert await report(acme, job) == [(line, "skipped", "erased-person") for line in (2, 3, 4)]

    assert len(await contacts(acme)) == count
    assert await traces(acme, MARK) == []
    elsewhere = await imported(globex, file)
    assert elsewhere["rows_created"] == 3, "another organization's erasure is none of its business"


async def test_no_row_gives_another_contact_the_address_of_an_erased_person(acme: Tenant) -> None:
    await erased_contact(acme)
    other = await add(acme, first_name="Ben")
    file = f"id,first_name,email\n{other['id']},Ben,{EMAIL}\n".encode()

    job = await imported(acme, file, mode="update", match_key="id")

    assert await report(acme, job) == [(2, "skipped", "erased-person")]


async def test_who_is_added_again_by_hand_is_a_contact_like_any_other(acme: Tenant) -> None:
    await erased_contact(acme)
    again = await add(acme, first_name="Zoe", email=EMAIL)

    job = await imported(acme, f"first_name,email,company\nZoe,{EMAIL},Acme\n".encode(), mode="upsert")

    assert await report(acme, job) == [(2, "updated", None)]
    assert (await acme.client.get(f"{CONTACTS}/{again['id']}")).json()["company"] == "Acme"


async def test_no_view_names_an_erased_person_and_the_trail_says_what_became_of_it(acme: Tenant) -> None:
    """By any of their names, addresses and numbers, in any filter; private and shared, and of others as well."""
    other = await make_member(acme, Role.MEMBER)
    contact = await add(acme, first_name="Zoë", last_name=MARK, email=EMAIL, phone="+44 20 7946 0018")
    target = await add(acme, first_name="Zoë", last_name="Target")
    for key in ("kin", "target"):
        plain = {"key": key, "label": key, "kind": "text"}
        (await acme.client.post("/api/v1/networking/custom-fields", json=plain)).raise_for_status()
    for name in (f"Friend of {MARK}", "Friend"):
        (await acme.client.post("/api/v1/networking/tags", json={"name": name})).raise_for_status()
    naming = [
        {"q": f"berlin {MARK.upper()}"},
        {"q": f"who knows {EMAIL}?"},
        {"q": f"{MARK}@"},
        {"q": "020 7946 0018"},
        {"industry": f"{MARK} & Sons"},
        {"custom": f"kin:Sister of {MARK}"},
        {"tag": f"Friend of {MARK}"},
    ]
    innocent = [
        {"q": "Zoë"},
        {"q": f"{MARK}ian"},
        {"q": "0018"},
        {"q": "@example.com"},
        {"tag": "Friend", "contact_type": "target"},
        {"custom": "target:yes"},
    ]
    gone, kept = [], []
    for filters in (*naming, *innocent):
        for tenant, is_shared in ((acme, True), (other, False)):
            body = {"name": "V", "filters": filters, "is_shared": is_shared}
            answer = await tenant.client.post("/api/v1/networking/views", json=body)
            assert answer.status_code == 201, answer.text
            (gone if filters in naming else kept).append(answer.json()["id"])
    called = (await acme.client.post("/api/v1/networking/views", json={"name": f"{MARK}, Zoë"})).json()["id"]

    for person in (contact, target):
        await erase(acme, UUID(person["id"]))

    for tenant in (acme, other):
        views = (await tenant.client.get("/api/v1/networking/views", params={"limit": 200})).json()["items"]
        assert [view for view in views if view["id"] in gone] == []
        assert {view["name"] for view in views if view["id"] == called} <= {"erased"}
        assert len({view["id"] for view in views} & set(kept)) == len(innocent) * (2 if tenant is other else 1)
    assert "networking.saved_views" not in await traces(acme, f" {MARK}"), "but for the one that only looks alike"
    async with acme.database.system() as system:
        told = await system.execute(
            text(
                "SELECT record_id, action FROM core.audit_logs "
                "WHERE organization_id = :id AND table_name = 'networking.saved_views' AND action <> 'create'"
            ),
            {"id": acme.organization_id},
        )
        assert {(str(record), action) for record, action in told} == {
            (called, "update"),
            *((view, "delete") for view in gone),
        }


async def test_a_fingerprint_is_of_one_purpose_and_one_organization(acme: Tenant, globex: Tenant) -> None:
    ctx, other = acme.ctx(), globex.ctx()

    made = [ctx.fingerprint(*of) for of in ("ax", "bx", "ay")] + [other.fingerprint("a", "x")]

    assert len(set(made)) == len(made)
    assert ctx.fingerprint("a", "x") == made[0]


async def test_a_file_that_can_not_be_read_is_not_kept(acme: Tenant) -> None:
    job = await upload(acme, b"\xff\xfe" + f"first_name\n{MARK}\n".encode("utf-16-le") + b"\x00\xd8")

    assert job["state"] == "failed"
    assert "networking.contact_import_chunks" not in await traces(acme, "")


async def test_an_export_tells_a_contacts_score_and_a_members_connections(acme: Tenant) -> None:
    contact = (await acme.client.post(CONTACTS, json={"first_name": "Ada", "email": "a@example.com"})).json()["id"]
    grace = await make_member(acme, Role.MEMBER)
    await acme.client.post(CONNECTIONS, json={"user_id": str(grace.user_id), "message": "Hello"})
    await acme.run_jobs()
    ctx = acme.ctx()

    plugs = acme.application.runtime.plugs
    of_contact = [held.row async for held in export_subject(ctx, plugs, UUID(contact))]
    of_grace = [held.row async for held in export_subject(ctx, plugs, grace.user_id)]
    await ctx.close()

    (score,) = [row["score"] for row in of_contact if "score" in row]
    reasons = [line["reason"] for line in score["lines"]]
    assert reasons == ["email is known", "no interaction yet", "held between 0 and 100"]
    (connection,) = [row["connection"] for row in of_grace if "connection" in row]
    assert (connection["with"], connection["asked"]) == (str(acme.user_id), False)


async def test_an_erased_member_is_nobodys_connection_and_nobodys_search(acme: Tenant) -> None:
    grace = await make_member(acme, Role.MEMBER)
    asked = (await acme.client.post(CONNECTIONS, json={"user_id": str(grace.user_id)})).json()
    ctx = acme.ctx()
    name = (await People(ctx).known([grace.user_id]))[grace.user_id].name
    await ctx.close()
    for q in (f"met by {name.upper()}", "met by nobody"):
        body = {"name": "V", "filters": {"q": q}, "is_shared": True}
        (await acme.client.post("/api/v1/networking/views", json=body)).raise_for_status()

    await erase(acme, grace.user_id)

    views = (await acme.client.get("/api/v1/networking/views")).json()["items"]
    assert [view["filters"] for view in views] == [{"q": "met by nobody"}]
    assert (await acme.client.get(f"{CONNECTIONS}/{asked['id']}")).status_code == 404
    assert await traces(acme, str(grace.user_id)) == []
