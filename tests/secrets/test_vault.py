"""The vault: a secret opens where it belongs and nowhere else."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from uuid import UUID, uuid4

import pytest
from msgspec import structs
from sqlalchemy import func, select, update

from core.db.database import Database
from core.identity.credential_models import SigningKey, TotpFactor
from core.identity.models import User
from core.runtime import Runtime
from core.secrets import cipher
from core.secrets.cipher import Place, UnsealError
from core.secrets.models import DataKey
from core.secrets.sealed import NOBODY, place_of, sealed_columns
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys

SECRET = b"canary-of-a-secret"
KEYS = {"first": b"1" * 32}


@pytest.fixture
async def scratch_database(scratch: Runtime) -> AsyncGenerator[Database]:
    async with scratch.open_database("vault") as database:
        yield database


def place(organization_id: UUID | None = None) -> Place:
    return Place(organization_id=organization_id or uuid4(), table="core.things", column="secret", row_id=uuid4())


async def test_a_secret_opens_in_its_place_in_any_process(scratch_database: Database) -> None:
    here, elsewhere = Vault(scratch_database, WrappingKeys(KEYS)), Vault(scratch_database, WrappingKeys(KEYS))
    its_place = place()

    sealed = await here.seal(its_place, SECRET)

    assert SECRET not in sealed
    assert await elsewhere.unseal(its_place, sealed) == SECRET


MOVES: dict[str, Callable[[Place], Place]] = {
    "tenant": lambda at: structs.replace(at, organization_id=uuid4()),
    "table": lambda at: structs.replace(at, table="core.others"),
    "column": lambda at: structs.replace(at, column="other"),
    "row": lambda at: structs.replace(at, row_id=uuid4()),
}


@pytest.mark.parametrize("moved", MOVES.values(), ids=MOVES.keys())
async def test_a_secret_that_was_moved_does_not_open(
    scratch_database: Database, moved: Callable[[Place], Place]
) -> None:
    vault, its_place = Vault(scratch_database, WrappingKeys(KEYS)), place()
    sealed = await vault.seal(its_place, SECRET)
    await vault.seal(moved(its_place), SECRET)  # so that the other organization has a key of the same number

    with pytest.raises(UnsealError):
        await vault.unseal(moved(its_place), sealed)


@pytest.mark.parametrize("moved", MOVES.values(), ids=MOVES.keys())
def test_the_key_alone_does_not_open_a_secret_that_was_moved(moved: Callable[[Place], Place]) -> None:
    its_place, key = place(), cipher.new_key()
    sealed = cipher.seal(SECRET, its_place, key=key, number=1)

    assert cipher.unseal(sealed, its_place, key=key) == SECRET
    with pytest.raises(UnsealError):
        cipher.unseal(sealed, moved(its_place), key=key)


@pytest.mark.parametrize("at", [0, 3, 8, 20, -1])
async def test_a_secret_that_was_changed_does_not_open(scratch_database: Database, at: int) -> None:
    vault, its_place = Vault(scratch_database, WrappingKeys(KEYS)), place()
    changed = bytearray(await vault.seal(its_place, SECRET))
    changed[at] ^= 1

    with pytest.raises(UnsealError):
        await vault.unseal(its_place, bytes(changed))


async def test_concurrent_first_use_makes_one_key(scratch_database: Database) -> None:
    organization = uuid4()
    places = [place(organization) for _ in range(40)]
    vaults = [Vault(scratch_database, WrappingKeys(KEYS)) for _ in range(8)]

    sealed = await asyncio.gather(*(vaults[n % 8].seal(each, SECRET) for n, each in enumerate(places)))

    async with scratch_database.system() as system:
        assert await system.scalar(select(func.count()).where(DataKey.organization_id == organization)) == 1
    assert [await vaults[0].unseal(*each) for each in zip(places, sealed, strict=True)] == [SECRET] * 40


async def test_without_its_wrapping_key_nothing_opens(scratch_database: Database) -> None:
    its_place = place()
    sealed = await Vault(scratch_database, WrappingKeys(KEYS)).seal(its_place, SECRET)

    for keys in ({"first": b"2" * 32}, {"other": b"1" * 32}):
        with pytest.raises(UnsealError):
            await Vault(scratch_database, WrappingKeys(keys)).unseal(its_place, sealed)


async def test_a_data_key_is_no_other_organizations(scratch_database: Database) -> None:
    vault, mine, theirs = Vault(scratch_database, WrappingKeys(KEYS)), place(), place()
    await vault.seal(mine, SECRET)
    sealed = await vault.seal(theirs, SECRET)
    async with scratch_database.system() as system:
        stolen = await system.scalar(select(DataKey.wrapped).where(DataKey.organization_id == theirs.organization_id))
        mine_now = update(DataKey).where(DataKey.organization_id == mine.organization_id).values(wrapped=stolen)
        await system.execute(mine_now)

    with pytest.raises(UnsealError):
        await Vault(scratch_database, WrappingKeys(KEYS)).unseal(mine, sealed)


async def test_no_data_key_is_stored_in_the_clear(scratch_database: Database) -> None:
    vault, its_place = Vault(scratch_database, WrappingKeys(KEYS)), place()
    await vault.seal(its_place, SECRET)
    ring = await vault.read_keys(its_place.organization_id)

    async with scratch_database.system() as system:
        wrapped = (await system.scalars(select(DataKey.wrapped))).all()

    assert all(key not in each for each in wrapped for key in ring.keys.values())


def test_every_sealed_column_is_found_with_the_id_of_its_rows() -> None:
    found = {f"{column.table.fullname}.{column.value.name}": column.row_id.name for column in sealed_columns()}

    assert found["core.totp_factors.seed"] == "user_id"
    assert found["core.signing_keys.private_key"] == "id"


def test_a_place_is_of_a_sealed_column_alone() -> None:
    with pytest.raises(TypeError):
        place_of(User.password_hash, row_id=uuid4())
    with pytest.raises(TypeError):
        place_of(SigningKey.private_key, row_id=uuid4(), organization_id=uuid4())
    assert place_of(TotpFactor.seed, row_id=uuid4()).organization_id == NOBODY
