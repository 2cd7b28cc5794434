"""Rotation: new keys under load, nobody is refused, and then the old keys are gone."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import LargeBinary, func, insert, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from core.db.database import Database
from core.db.migrations import owner_connection
from core.db.models import Base, TenantModel
from core.db.tenancy import guard_table
from core.identity.credential_models import SigningKey
from core.identity.signing_keys import SigningKeys
from core.ids import new_id
from core.runtime import Runtime
from core.secrets.cipher import UnsealError, key_number_of
from core.secrets.models import DataKey
from core.secrets.rotation import Rotation, RotationStalled
from core.secrets.sealed import SEALED, place_of
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys
from core.testing.waiting import until

OLD, NEW = {"old": b"1" * 32}, {"new": b"2" * 32, "old": b"1" * 32}
FRESH_SECONDS, SETTLE_SECONDS = 0.1, 0.3
ROWS = 250
"""More than two batches."""


class Vaulted(TenantModel):
    """A tenant's table with a secret, as a module would have it. It is no part of the metadata of other tests."""

    __tablename__ = "vaulted"
    __table_args__ = ({"schema": "core", "info": {"tenant": True}},)

    secret: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)


TABLE = Vaulted.__table__
Base.metadata.remove(TABLE)


@pytest.fixture
async def scratch_database(scratch: Runtime) -> AsyncGenerator[Database]:
    """With the table of the secret in it."""
    async with owner_connection(scratch.settings.owner_url) as owner:
        await owner.run_sync(TABLE.create)
        for statement in guard_table("core.vaulted"):
            await owner.execute(text(statement))
        await owner.commit()
    Base.metadata._add_table("vaulted", "core", TABLE)
    async with scratch.open_database("rotation", at_least=12) as database:
        yield database
    Base.metadata.remove(TABLE)


def vault_with(database: Database, keys: dict[str, bytes] = OLD) -> Vault:
    return Vault(database, WrappingKeys(keys), fresh_seconds=FRESH_SECONDS)


def rotation_of(database: Database, vault: Vault, *, patience: float = 20) -> Rotation:
    return Rotation(database, vault, settle_seconds=SETTLE_SECONDS, patience_seconds=patience)


def canary_of(row_id: UUID) -> bytes:
    return b"canary " + row_id.bytes


async def add_rows(database: Database, vault: Vault, organization: UUID, count: int = ROWS) -> list[UUID]:
    ids = [new_id() for _ in range(count)]
    rows = [
        {
            "organization_id": organization,
            "id": row_id,
            "secret": await vault.seal(
                place_of(Vaulted.secret, row_id=row_id, organization_id=organization), canary_of(row_id)
            ),
        }
        for row_id in ids
    ]
    async with database.system() as system:
        await system.execute(insert(Vaulted), rows)
    return ids


async def secret_of(database: Database, vault: Vault, organization: UUID, row_id: UUID) -> bytes:
    async with database.system() as system:
        sealed = await system.scalar(select(TABLE.c.secret).where(TABLE.c.id == row_id))
    return await vault.unseal(place_of(Vaulted.secret, row_id=row_id, organization_id=organization), sealed)


async def numbers_in_use(database: Database) -> set[int]:
    async with database.system() as system:
        return {key_number_of(sealed) for sealed in await system.scalars(select(TABLE.c.secret))}


async def key_numbers(database: Database, organization: UUID) -> set[int]:
    async with database.system() as system:
        return set(await system.scalars(select(DataKey.number).where(DataKey.organization_id == organization)))


async def test_every_value_is_under_the_new_key_and_the_old_one_is_gone(scratch_database: Database) -> None:
    vault, organization = vault_with(scratch_database), uuid4()
    ids = await add_rows(scratch_database, vault, organization)
    async with scratch_database.system() as system:
        before = await system.scalar(select(TABLE.c.secret).where(TABLE.c.id == ids[0]))

    done = await rotation_of(scratch_database, vault).run()

    assert (done.values, done.deleted) == (ROWS, 1)
    assert await numbers_in_use(scratch_database) == await key_numbers(scratch_database, organization) == {2}
    elsewhere = vault_with(scratch_database)
    assert await secret_of(scratch_database, elsewhere, organization, ids[0]) == canary_of(ids[0])
    with pytest.raises(UnsealError, match="gone"):
        await elsewhere.unseal(place_of(Vaulted.secret, row_id=ids[0], organization_id=organization), before)


async def test_it_goes_on_under_load_and_nobody_is_refused(scratch_database: Database) -> None:
    """Other processes read and write all the while, each with keys of its own in memory."""
    organization, done = uuid4(), asyncio.Event()
    ids = await add_rows(scratch_database, vault_with(scratch_database), organization)
    counts = {"read": 0, "written": 0}

    async def read(vault: Vault, start: int) -> None:
        at = start
        while not done.is_set():
            row_id = ids[at % len(ids)]
            assert await secret_of(scratch_database, vault, organization, row_id) == canary_of(row_id)
            counts["read"], at = counts["read"] + 1, at + 7

    async def write(vault: Vault, start: int) -> None:
        at = start
        while not done.is_set():
            row_id = ids[at % len(ids)]
            its_place = place_of(Vaulted.secret, row_id=row_id, organization_id=organization)
            sealed = await vault.seal(its_place, canary_of(row_id))
            async with scratch_database.system() as system:
                await system.execute(update(TABLE).where(TABLE.c.id == row_id).values(secret=sealed))
                await asyncio.sleep(0.01)  # a transaction takes its time
            counts["written"], at = counts["written"] + 1, at + 11

    async def rotate() -> None:
        try:
            await rotation_of(scratch_database, vault_with(scratch_database)).run()
            await asyncio.sleep(FRESH_SECONDS)
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        for start in range(3):
            group.create_task(read(vault_with(scratch_database), start))
            group.create_task(write(vault_with(scratch_database), start))
        group.create_task(rotate())

    assert counts["read"] > 20
    assert counts["written"] > 20
    assert await numbers_in_use(scratch_database) == await key_numbers(scratch_database, organization) == {2}


async def test_a_rotation_that_was_cut_short_is_taken_up_again(scratch_database: Database) -> None:
    vault, organization = vault_with(scratch_database), uuid4()
    ids = await add_rows(scratch_database, vault, organization)
    cut_short = asyncio.create_task(rotation_of(scratch_database, vault).run())
    await until(lambda: has_begun(scratch_database), within=15, every=0.005)
    cut_short.cancel()
    await asyncio.wait({cut_short})
    assert 1 in await key_numbers(scratch_database, organization)

    await rotation_of(scratch_database, vault_with(scratch_database)).run()

    assert await numbers_in_use(scratch_database) == await key_numbers(scratch_database, organization) == {2}
    assert await secret_of(scratch_database, vault, organization, ids[-1]) == canary_of(ids[-1])


async def test_a_transaction_that_is_still_open_keeps_the_old_key(scratch_database: Database) -> None:
    vault, organization, row_id = vault_with(scratch_database), uuid4(), new_id()
    sealed = await vault.seal(place_of(Vaulted.secret, row_id=row_id, organization_id=organization), canary_of(row_id))
    row = {"organization_id": organization, "id": row_id, "secret": sealed}

    async with scratch_database.system() as slow:
        await slow.execute(insert(Vaulted).values(**row))
        with pytest.raises(RotationStalled):
            await rotation_of(scratch_database, vault, patience=0.5).run()

    assert await secret_of(scratch_database, vault_with(scratch_database), organization, row_id) == canary_of(row_id)
    await rotation_of(scratch_database, vault).run()
    assert await key_numbers(scratch_database, organization) == {2}


async def test_a_row_that_somebody_has_locked_holds_up_nobody_else(scratch_database: Database) -> None:
    vault, organization = vault_with(scratch_database), uuid4()
    ids = await add_rows(scratch_database, vault, organization)

    async with scratch_database.system() as busy:
        await busy.execute(select(TABLE.c.id).where(TABLE.c.id == ids[5]).with_for_update())
        rotation = asyncio.create_task(rotation_of(scratch_database, vault).run())
        await until(lambda: only_one_left(scratch_database), within=15)
        assert not rotation.done()

    assert (await rotation).values == ROWS


async def has_begun(database: Database) -> bool:
    return await numbers_in_use(database) != {1}


async def only_one_left(database: Database) -> bool:
    async with database.system() as system:
        sealed = await system.scalars(select(TABLE.c.secret))
        return sum(key_number_of(each) == 1 for each in sealed) == 1


async def test_data_keys_are_wrapped_by_the_primary_key_afterwards(scratch_database: Database) -> None:
    organization = uuid4()
    ids = await add_rows(scratch_database, vault_with(scratch_database), organization, 3)

    await rotation_of(scratch_database, vault_with(scratch_database, NEW)).run()

    async with scratch_database.system() as system:
        assert set(await system.scalars(select(DataKey.wrapping_key))) == {"new"}
    without_old = vault_with(scratch_database, {"new": NEW["new"]})
    assert await secret_of(scratch_database, without_old, organization, ids[0]) == canary_of(ids[0])


async def test_a_value_that_can_not_be_read_is_never_lost(scratch_database: Database) -> None:
    vault, organization = vault_with(scratch_database), uuid4()
    good, bad = await add_rows(scratch_database, vault, organization, 2)
    async with scratch_database.system() as system:
        taken = select(TABLE.c.secret).where(TABLE.c.id == good).scalar_subquery()
        await system.execute(update(TABLE).where(TABLE.c.id == bad).values(secret=taken))

    with pytest.raises(RotationStalled):
        await rotation_of(scratch_database, vault, patience=0.5).run()

    assert await key_numbers(scratch_database, organization) == {1, 2}
    assert await secret_of(scratch_database, vault, organization, good) == canary_of(good)


async def test_what_belongs_to_no_tenant_is_sealed_anew_as_well(scratch_database: Database) -> None:
    vault = vault_with(scratch_database)
    keys = SigningKeys(scratch_database, vault, access_seconds=900)
    raw = (await keys.signer()).key.private_bytes_raw()

    await rotation_of(scratch_database, vault).run()

    async with scratch_database.system() as system:
        key = (await system.scalars(select(SigningKey))).one()
    assert key_number_of(key.private_key) == 2
    assert (
        await vault_with(scratch_database).unseal(place_of(SigningKey.private_key, row_id=key.id), key.private_key)
        == raw
    )


async def test_no_secret_is_in_a_dump_of_the_tables(scratch_database: Database) -> None:
    vault, organization = vault_with(scratch_database), uuid4()
    ids = await add_rows(scratch_database, vault, organization, 20)
    ring = await vault.read_keys(organization)

    async with scratch_database.system() as system:
        dump = "\n".join(
            [
                str(line)
                for table in ("core.vaulted", "core.data_keys", "core.signing_keys", "core.totp_factors")
                for line in await system.scalars(text(f"SELECT row_to_json(t)::text FROM {table} AS t"))
            ]
        )
        count = await system.scalar(select(func.count()).select_from(TABLE))

    assert count == 20
    for canary in [*map(canary_of, ids), *ring.keys.values()]:
        assert canary.hex() not in dump
