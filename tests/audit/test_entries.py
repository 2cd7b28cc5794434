"""What is written down of a change, and what is no change."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from core.db.tenancy import TenantConnection, TenantContext
from core.identity.credential_models import ApiKey
from core.identity.models import Membership, User
from core.identity.organization_models import Team, TeamMember
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from modules.networking.models import Contact
from tests.audit.conftest import CONTACTS, add_contact, entries, trail_of


def contact(tenant: Tenant, **values: Any) -> dict[str, Any]:
    return {"organization_id": tenant.organization_id, "id": new_id(), "first_name": "Ada", **values}


async def test_of_an_update_only_what_differs_is_kept(acme: Tenant) -> None:
    made = await add_contact(acme, company="Analytical Engines")

    await acme.client.patch(f"{CONTACTS}/{made}", json={"first_name": "Grace", "company": "Analytical Engines"})

    assert (await trail_of(acme, made))[1:] == [("update", {"first_name": "Ada"}, {"first_name": "Grace"})]


@pytest.mark.parametrize(
    "nothing",
    ["first_name = first_name", "version = version + 1", "updated_at = now()", "version = 9, updated_at = now()"],
)
async def test_an_update_that_changes_nothing_leaves_no_entry(acme: Tenant, nothing: str) -> None:
    made = await add_contact(acme)

    async with acme.database.system() as system:
        await system.execute(text(f"UPDATE networking.contacts SET {nothing} WHERE id = :id"), {"id": made})

    assert [action for action, _, _ in await trail_of(acme, made)] == ["create"]


async def test_that_something_was_used_is_no_change_of_it(acme: Tenant) -> None:
    """Each sign-in, and each use of a key, sets a time: the trail would be full of them."""
    key = (await acme.client.post("/api/v1/api-keys", json={"name": "CRM", "scopes": ["networking:read"]})).json()
    key_id = key["api_key"]["id"]

    async with acme.database.system() as system:
        await system.execute(text("UPDATE core.api_keys SET last_used_at = now() WHERE id = :id"), {"id": key_id})
        await system.execute(text("UPDATE core.users SET last_login = now() WHERE id = :id"), {"id": acme.user_id})
        sessions = await system.scalars(
            text("UPDATE core.sessions SET last_used_at = now() WHERE user_id = :id RETURNING id"), {"id": acme.user_id}
        )
        session_id = sessions.one()

    assert [action for action, _, _ in await trail_of(acme, key_id)] == ["create"]
    assert [action for action, _, _ in await trail_of(acme, acme.user_id)] == ["create"]
    assert [action for action, _, _ in await trail_of(acme, session_id)] == ["create"]


async def test_deleting_by_a_mark_is_told_as_what_it_means(acme: Tenant) -> None:
    made = await add_contact(acme)

    await acme.client.delete(f"{CONTACTS}/{made}")
    await acme.client.post(f"{CONTACTS}/{made}/restore")

    assert [action for action, _, _ in await trail_of(acme, made)] == ["create", "delete", "restore"]


async def test_what_is_rolled_back_leaves_no_entry(acme: Tenant) -> None:
    row = contact(acme)
    ctx = acme.ctx()
    await ctx.db.execute(insert(Contact).values(row))
    await ctx.rollback()
    await ctx.close()

    refused = await acme.client.post(CONTACTS, json={"first_name": ""})

    assert refused.status_code == 422
    assert await entries(acme.database, organization_id=acme.organization_id, table_name="networking.contacts") == []


async def test_an_upsert_tells_new_rows_from_changed_ones(acme: Tenant) -> None:
    known = await add_contact(acme)
    rows = [contact(acme, id=known, first_name="Grace"), contact(acme)]
    statement = upsert(Contact).values([row | {"status": "hot_lead"} for row in rows])

    async with acme.database.system() as system:
        await system.execute(
            statement.on_conflict_do_update(
                index_elements=["organization_id", "id"], set_={"first_name": statement.excluded.first_name}
            )
        )

    assert (await trail_of(acme, known))[1:] == [("update", {"first_name": "Ada"}, {"first_name": "Grace"})]
    assert [action for action, _, _ in await trail_of(acme, rows[1]["id"])] == ["create"]


async def test_rows_that_go_with_another_are_in_the_trail_too(acme: Tenant) -> None:
    """PostgreSQL removes them by itself, as the table's owner."""
    team, place = new_id(), new_id()
    async with acme.database.system() as system:
        await system.execute(insert(Team).values(organization_id=acme.organization_id, id=team, name="Sales"))
        await system.execute(
            insert(TeamMember).values(
                organization_id=acme.organization_id, id=place, team_id=team, user_id=acme.user_id
            )
        )

    async with acme.database.system() as system:
        await system.execute(delete(Team).where(Team.id == team))

    assert [action for action, _, _ in await trail_of(acme, place)] == ["create", "delete"]


async def test_a_row_moved_to_another_organization_ends_here_and_begins_there(acme: Tenant, globex: Tenant) -> None:
    made = await add_contact(acme)

    async with acme.database.system() as system:
        await system.execute(text("DELETE FROM networking.contact_stages WHERE contact_id = :id"), {"id": made})
        await system.execute(
            text("UPDATE networking.contacts SET organization_id = :there WHERE id = :id"),
            {"there": globex.organization_id, "id": made},
        )

    assert [action for action, _, _ in await trail_of(acme, made)] == ["create", "delete"]
    (arrived,) = await trail_of(globex, made)
    assert (arrived[0], arrived[1], arrived[2]["first_name"]) == ("create", None, "Ada")


async def test_two_organizations_rows_with_one_id_are_not_mixed_up(acme: Tenant, globex: Tenant) -> None:
    shared = new_id()
    async with acme.database.system() as system:
        await system.execute(insert(Contact), [contact(t, id=shared, first_name=t.slug) for t in (acme, globex)])
        await system.execute(update(Contact).where(Contact.id == shared).values(industry=Contact.first_name))

    for tenant in (acme, globex):
        assert (await trail_of(tenant, shared))[1:] == [("update", {"industry": None}, {"industry": tenant.slug})]


@pytest.mark.parametrize("text_of", ["é" * 5000, "x" * 100_000, "x" * 2_000_000])
async def test_very_long_values_are_cut_and_named_by_their_hash(acme: Tenant, text_of: str) -> None:
    row = contact(acme, notes="short")
    async with acme.database.system() as system:
        await system.execute(insert(Contact).values(row))
        await system.execute(update(Contact).where(Contact.id == row["id"]).values(notes=text_of))

    (_, (_, old, new)) = await trail_of(acme, row["id"])

    digest = hashlib.sha256(text_of.encode()).hexdigest()
    assert old == {"notes": "short"}
    assert new == {"notes": f"{text_of[:1000]} [cut: {len(text_of)} characters, sha256 {digest}]"}


async def test_a_long_row_of_short_values_is_kept_whole(acme: Tenant) -> None:
    row = contact(
        acme, metadata_={f"field {number}": "x" * 100 for number in range(40)}, bio="b" * 4000, notes="n" * 4000
    )

    async with acme.database.system() as system:
        await system.execute(insert(Contact).values(row))

    ((_, _, new),) = await trail_of(acme, row["id"])
    assert (new["bio"], new["notes"], new["metadata"]) == (row["bio"], row["notes"], row["metadata_"])


async def test_a_generated_column_says_nothing_new(acme: Tenant) -> None:
    made = await add_contact(acme)

    ((_, _, new),) = await trail_of(acme, made)

    assert "search_text" not in new


async def test_a_persons_change_is_told_where_they_are_and_nowhere_else(
    acme: Tenant, globex: Tenant, new_tenant: Any
) -> None:
    """They are in two organizations. The third is the one that they came with, and have left."""
    left = await new_tenant()
    person = await make_member(left, Role.MEMBER)
    async with acme.database.system() as system:
        for tenant in (acme, globex):
            place = {"organization_id": tenant.organization_id, "id": new_id(), "user_id": person.user_id}
            await system.execute(insert(Membership).values(**place, role="member"))
        await system.execute(
            delete(Membership).where(
                Membership.organization_id == left.organization_id, Membership.user_id == person.user_id
            )
        )

    async with acme.database.system() as system:
        await system.execute(update(User).where(User.id == person.user_id).values(phone="+44 20 7946 0018"))

    told = [e for e in await entries(acme.database, record_id=person.user_id) if e.action == "update"]
    assert {entry.organization_id for entry in told} == {acme.organization_id, globex.organization_id}
    assert [entry.new_values for entry in told] == [{"phone": "+44 20 7946 0018"}] * 2


async def test_ten_thousand_rows_in_one_statement_are_ten_thousand_entries(acme: Tenant) -> None:
    rows = 10_000
    async with acme.database.session(TenantContext(organization_id=acme.organization_id)) as session:
        await session.execute(
            text(
                "INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority) "
                "SELECT :tenant, gen_random_uuid(), 'Ada ' || n, 'target', 'new_client', 'low' "
                "FROM generate_series(1, :rows) AS n"
            ),
            {"tenant": acme.organization_id, "rows": rows},
        )
        await session.commit()

    told = await entries(acme.database, organization_id=acme.organization_id, table_name="networking.contacts")
    assert len({entry.record_id for entry in told}) == len({entry.id for entry in told}) == len(told) == rows


async def test_ids_are_uuids_of_version_seven_in_the_order_of_time(acme: Tenant) -> None:
    for _ in range(3):
        await add_contact(acme)

    told = await entries(acme.database, organization_id=acme.organization_id, table_name="networking.contacts")

    assert {(entry.id.version, entry.id.variant) for entry in told} == {(7, "specified in RFC 4122")}
    assert [entry.id for entry in told] == sorted(entry.id for entry in told)


async def test_where_the_trail_can_not_be_written_nothing_is(acme: Tenant, superuser: TenantConnection) -> None:
    """A change without its entry would be worse than no change."""
    context = TenantContext(organization_id=acme.organization_id, correlation_id="-")
    async with acme.database.session(context) as session:
        await session.execute(text("SELECT set_config('app.user_id', 'not a uuid', true)"))
        with pytest.raises(DBAPIError, match="invalid input syntax for type uuid"):
            await session.execute(insert(Contact).values(contact(acme)))

    assert (
        await superuser.fetchval(
            "SELECT count(*) FROM networking.contacts WHERE organization_id = $1", acme.organization_id
        )
        == 0
    )


async def test_a_keys_hash_is_told_as_hidden(acme: Tenant) -> None:
    key = (await acme.client.post("/api/v1/api-keys", json={"name": "CRM", "scopes": ["networking:read"]})).json()

    ((_, _, new),) = await trail_of(acme, key["api_key"]["id"])

    assert new["key_hash"] == "[hidden]"
    async with acme.database.system() as system:
        stored = await system.scalar(select(ApiKey.key_hash).where(ApiKey.organization_id == acme.organization_id))
    assert stored is not None
