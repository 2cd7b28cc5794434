"""`ctx.db.insert` is what `add` and `flush` are: the same row, in the same transaction, under the same walls."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import func, inspect, null, select
from sqlalchemy.exc import SQLAlchemyError

from core.db.models import TenantModel
from core.db.sessions import TenantSession
from core.db.tenancy import TenantContext
from core.identity.models import Organization
from core.settings import Settings
from core.testing.tenants import Tenant
from modules.networking.models import Contact
from modules.networking.tag_models import Tag

MADE_BY_DEFAULTS = {"id", "created_at", "updated_at"}


def lane_of(tenant: Tenant) -> TenantSession:
    return tenant.database.session(TenantContext(organization_id=tenant.organization_id))


async def columns_of(tenant: Tenant, model: type[TenantModel], row_id: UUID) -> dict[str, Any]:
    async with tenant.database.system() as system:
        found = await system.execute(select(model.__table__).where(model.id == row_id))
        return dict(found.mappings().one())


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Contact, {"first_name": "Ada"}),
        (Contact, {"first_name": "Ada", "metadata_": {"a": [1]}, "additional_emails": ["a@b.example"], "custom": {}}),
        (Tag, {"name": "VIP", "key": "vip"}),
    ],
)
async def test_it_writes_what_a_flush_writes(acme: Tenant, globex: Tenant, model: Any, values: dict[str, Any]) -> None:
    async with lane_of(acme) as lane:
        inserted = await lane.insert(model, **values)
        await lane.commit()
    async with lane_of(globex) as lane:
        flushed = model(**values)
        lane.add(flushed)
        await lane.commit()

    theirs, mine = await columns_of(globex, model, flushed.id), await columns_of(acme, model, inserted.id)
    assert {name for name in mine if mine[name] != theirs[name]} <= MADE_BY_DEFAULTS | {"organization_id"}
    assert mine["organization_id"] == acme.organization_id
    shown = {name for name in inspect(inserted).dict if not name.startswith("_sa_")}
    column = {name: inspect(model).attrs[name].columns[0].name for name in shown}
    assert {name: getattr(inserted, name) for name in shown} == {name: mine[column[name]] for name in shown}
    assert shown >= set(values) | MADE_BY_DEFAULTS


async def test_the_system_role_has_it_as_well(acme: Tenant) -> None:
    """And what is not said is null, also in a column of JSON, which has a null of its own."""
    async with acme.database.system() as system:
        inserted = await system.insert(Organization, name="Umbrella", slug="umbrella")
        flushed = Organization(name="Umbrella", slug="umbrella-2")
        system.add(flushed)
        await system.flush()
        of_both = Organization.id.in_([inserted.id, flushed.id])
        rows = (await system.execute(select(Organization.__table__).where(of_both))).mappings().all()
        nothing = await system.scalars(select(Organization.id).where(of_both, Organization.purged_rows.is_(null())))
        assert len(nothing.all()) == 2
        await system.rollback()

    one, other = rows
    assert {name for name in one if one[name] != other[name]} <= MADE_BY_DEFAULTS | {"slug"}


async def test_the_row_is_the_sessions_own_and_its_changes_are_written(acme: Tenant) -> None:
    async with lane_of(acme) as lane:
        contact = await lane.insert(Contact, first_name="Ada")
        contact.last_name = "Okafor"
        await lane.commit()

    row = await columns_of(acme, Contact, contact.id)
    assert (row["last_name"], row["version"]) == ("Okafor", 2)


async def test_it_comes_after_what_was_added_before_it(acme: Tenant) -> None:
    async with lane_of(acme) as lane:
        lane.add(Tag(name="VIP", key="vip"))

        with pytest.raises(asyncpg.UniqueViolationError):
            await lane.insert(Tag, name="vip", key="vip")


async def test_a_rollback_leaves_nothing_of_it(acme: Tenant) -> None:
    async with lane_of(acme) as lane:
        await lane.insert(Contact, first_name="Ada")
        await lane.rollback()

        assert (await lane.scalars(select(Contact))).all() == []


async def test_a_row_is_its_transactions_organizations_whatever_is_asked_for(acme: Tenant, globex: Tenant) -> None:
    async with lane_of(acme) as lane:
        contact = await lane.insert(Contact, first_name="Ada", organization_id=globex.organization_id)
        await lane.commit()

    assert (await columns_of(acme, Contact, contact.id))["organization_id"] == acme.organization_id


@pytest.mark.parametrize("unknown", ["middle_name", "search_text"])
async def test_what_the_model_does_not_have_or_postgresql_fills_in_is_refused(acme: Tenant, unknown: str) -> None:
    async with lane_of(acme) as lane:
        with pytest.raises(TypeError, match=unknown):
            await lane.insert(Contact, first_name="Ada", **{unknown: "x"})


async def insert_on_a_connection_that_is_ended(lane: TenantSession, settings: Settings) -> None:
    await lane.insert(Contact, first_name="Ada")
    pid = await lane.scalar(select(func.pg_backend_pid()))
    superuser = await asyncpg.connect(settings.database_url)
    await superuser.execute("SELECT pg_terminate_backend($1)", pid)
    await superuser.close()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await lane.insert(Contact, first_name="Bob")


async def test_what_was_written_on_a_connection_that_is_gone_is_never_said_to_be_committed(
    acme: Tenant, settings: Settings
) -> None:
    async with lane_of(acme) as lane:
        await insert_on_a_connection_that_is_ended(lane, settings)

        with pytest.raises(SQLAlchemyError):
            await lane.commit()


async def test_a_connection_that_is_gone_is_rolled_back_without_a_word_and_the_next_one_works(
    acme: Tenant, settings: Settings
) -> None:
    async with lane_of(acme) as lane:
        await insert_on_a_connection_that_is_ended(lane, settings)

        await lane.rollback()

        await lane.insert(Contact, first_name="Cleo")
        await lane.commit()
        assert (await lane.scalars(select(Contact.first_name))).all() == ["Cleo"]
