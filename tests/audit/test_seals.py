"""Seals: what was sealed can't be changed, removed or added to unseen, not even by a superuser."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, select, text

from core.audit import verifying
from core.audit.chain import ENTRIES
from core.audit.models import AuditLog, AuditSeal
from core.audit.schemas import Fault, Head
from core.audit.sealing import Sealer
from core.audit.verifying import Verifier
from core.db.database import Database, connect
from core.db.tenancy import TenantConnection, TenantContext
from core.ids import new_id
from core.runtime import Runtime
from core.testing.stage import Addresses, cloned, runtime_on
from core.testing.waiting import until
from modules.networking.models import Contact

TRAIL = ("core.audit_logs", "core.audit_seals")


class Ledger:
    """A database of its own, with a chain that one test breaks."""

    def __init__(self, runtime: Runtime, database: Database, superuser: TenantConnection) -> None:
        self.keys = runtime.settings.wrapping_keys
        self.database = database
        self.superuser = superuser
        self.sealer = Sealer(database, self.keys)
        self.verifier = Verifier(database, self.keys)
        self.acme, self.globex = new_id(), new_id()

    async def write(self, organization_id: UUID, rows: int = 1) -> None:
        async with self.database.session(TenantContext(organization_id=organization_id)) as session:
            made = [{"organization_id": organization_id, "id": new_id(), "first_name": "Ada"} for _ in range(rows)]
            await session.execute(insert(Contact), made)
            await session.commit()

    async def write_and_seal(self, *counts: int) -> None:
        """A seal over so many entries each."""
        for rows in counts:
            await self.write(self.acme, rows)
            await self.seal(rows)

    async def seal(self, entries: int) -> None:
        """Seal until so many are sealed: transactions that other tests have open in this PostgreSQL hold seals up."""
        sealed = 0

        async def all_sealed() -> bool:
            nonlocal sealed
            sealed += await self.sealer.seal()
            return sealed >= entries

        await until(all_sealed, within=20)
        assert sealed == entries

    async def is_sealed(self) -> bool:
        await self.sealer.seal()
        return all([(await self.verifier.verify(each)).unsealed == 0 for each in (self.acme, self.globex)])

    async def count(self, model: type[AuditLog | AuditSeal], organization_id: UUID) -> int:
        async with self.database.system() as system:
            counted = select(func.count()).select_from(model).where(model.organization_id == organization_id)
            return (await system.scalars(counted)).one()


@asynccontextmanager
async def ledger_on(runtime: Runtime) -> AsyncGenerator[Ledger]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(runtime.open_database("ledger"))
        superuser = await connect(runtime.settings.owner_url, role=None, name="superuser")
        stack.push_async_callback(superuser.close)
        yield Ledger(runtime, database, superuser)


@pytest.fixture
async def ledger(scratch: Runtime) -> AsyncGenerator[Ledger]:
    async with ledger_on(scratch) as ledger:
        yield ledger


@pytest.fixture(scope="module")
async def chain(addresses: Addresses) -> AsyncGenerator[Ledger]:
    """Three seals, and a copy of all that there is then."""
    async with cloned(addresses, f"chain_{uuid4().hex[:12]}") as settings, ledger_on(runtime_on(settings)) as ledger:
        await ledger.write_and_seal(3, 3, 3)
        for table in TRAIL:
            await ledger.superuser.execute(f"CREATE TABLE {table}_kept AS TABLE {table}")
        yield ledger


@pytest.fixture
async def sealed(chain: Ledger) -> AsyncGenerator[Ledger]:
    """That chain, as it was before anybody tampered with it."""
    yield chain
    await chain.superuser.execute(f"TRUNCATE {', '.join(TRAIL)}")
    for table in TRAIL:
        await chain.superuser.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE {table}_kept")


async def test_an_untouched_chain_holds(ledger: Ledger) -> None:
    await ledger.write_and_seal(3, 2)
    await ledger.write(ledger.acme, 4)

    found = await ledger.verifier.verify(ledger.acme)

    assert (found.intact, found.complete, found.fault, found.broken_at) == (True, True, None, None)
    assert (found.seals, found.entries, found.unsealed) == (2, 5, 4)
    assert (found.head or "").startswith("2:")


async def test_an_organization_without_entries_has_an_empty_chain(chain: Ledger) -> None:
    found = await chain.verifier.verify(chain.globex)

    assert (found.intact, found.seals, found.entries, found.head) == (True, 0, 0, None)


SECOND = "(SELECT sequence FROM core.audit_logs ORDER BY xid, sequence OFFSET 4 LIMIT 1)"
"""An entry under the second of three seals."""
LOG = f"UPDATE core.audit_logs SET {{}} WHERE sequence = {SECOND}"
SEAL = "UPDATE core.audit_seals SET {} WHERE number = 2"
TAMPERINGS = {
    LOG.format("new_values = jsonb_set(new_values, '{first_name}', '\"Eve\"')"): Fault.CHANGED,
    LOG.format("old_values = '{}'"): Fault.CHANGED,
    LOG.format("user_id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("impersonator_id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("api_key_id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("address = '203.0.113.9'"): Fault.CHANGED,
    LOG.format("correlation_id = 'other'"): Fault.CHANGED,
    LOG.format("job_id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("job_name = 'other'"): Fault.CHANGED,
    LOG.format("table_name = 'networking.others'"): Fault.CHANGED,
    LOG.format("record_id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("action = 'delete'"): Fault.CHANGED,
    LOG.format("metadata = '{\"a\": 1}'"): Fault.CHANGED,
    LOG.format("id = gen_random_uuid()"): Fault.CHANGED,
    LOG.format("created_at = created_at + interval '1 microsecond'"): Fault.CHANGED,
    LOG.format("sequence = DEFAULT"): Fault.ENTRIES_MISSING,
    LOG.format("xid = '9999999'"): Fault.ENTRIES_MISSING,
    LOG.format("organization_id = gen_random_uuid()"): Fault.ENTRIES_MISSING,
    f"DELETE FROM core.audit_logs WHERE sequence = {SECOND}": Fault.ENTRIES_MISSING,
    "INSERT INTO core.audit_logs (organization_id, xid, sequence, table_name, action) OVERRIDING SYSTEM VALUE "
    f"SELECT organization_id, xid, -1, table_name, action FROM core.audit_logs WHERE sequence = {SECOND}": (
        Fault.ENTRIES_ADDED
    ),
    SEAL.format("hash = sha256('forged')"): Fault.CHANGED,
    SEAL.format("below_xid = '1'"): Fault.CHANGED,
    SEAL.format("key_name = 'of-somebody-else'"): Fault.KEY_UNKNOWN,
    SEAL.format("entries = entries - 1"): Fault.ENTRIES_ADDED,
    SEAL.format("entries = entries + 1"): Fault.ENTRIES_MISSING,
    SEAL.format("number = 7"): Fault.SEAL_MISSING,
    "DELETE FROM core.audit_seals WHERE number = 2": Fault.SEAL_MISSING,
    f"WITH gone AS (DELETE FROM core.audit_logs WHERE sequence >= {SECOND} AND sequence < {SECOND} + 3) "
    "DELETE FROM core.audit_seals WHERE number = 2": Fault.SEAL_MISSING,
}


def test_every_column_of_an_entry_is_tried() -> None:
    tried = {sql.split(" SET ")[1].split(" = ")[0] for sql in TAMPERINGS if sql.startswith("UPDATE core.audit_logs")}

    assert tried == set(AuditLog.__table__.columns.keys())


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_what_a_superuser_does_to_sealed_entries_is_found(sealed: Ledger, tampering: str) -> None:
    assert (await sealed.verifier.verify(sealed.acme)).intact

    await sealed.superuser.execute(tampering)

    found = await sealed.verifier.verify(sealed.acme)
    assert (found.intact, found.broken_at, found.fault) == (False, 2, TAMPERINGS[tampering])
    assert (found.seals, found.entries) == (1, 3)
    assert (found.head or "").startswith("1:")


async def test_a_chain_does_not_pass_for_another_organizations(sealed: Ledger) -> None:
    for table in TRAIL:
        await sealed.superuser.execute(f"UPDATE {table} SET organization_id = $1", sealed.globex)

    assert (await sealed.verifier.verify(sealed.globex)).fault is Fault.CHANGED


async def test_a_tail_without_its_seal_is_found_and_never_sealed_again(ledger: Ledger) -> None:
    """Else whoever takes the last seal away could have the system seal what they made of the entries."""
    await ledger.write_and_seal(3, 3)
    await ledger.write(ledger.globex)
    await ledger.seal(1)
    await ledger.superuser.execute(
        "DELETE FROM core.audit_seals WHERE organization_id = $1 AND number = 2", ledger.acme
    )

    await ledger.write(ledger.globex)
    await ledger.seal(1)
    found = await ledger.verifier.verify(ledger.acme)

    assert await ledger.count(AuditSeal, ledger.acme) == 1
    assert (found.intact, found.fault, found.broken_at) == (False, Fault.SEAL_MISSING, 2)


async def test_a_head_that_was_noted_tells_of_an_end_that_was_cut_off(ledger: Ledger) -> None:
    await ledger.write_and_seal(3, 3)
    kept = Head.parse((await ledger.verifier.verify(ledger.acme)).head or "")
    assert (await ledger.verifier.verify(ledger.acme, kept=kept)).intact

    await ledger.superuser.execute("DELETE FROM core.audit_seals WHERE number = 2")
    await ledger.superuser.execute(
        "DELETE FROM core.audit_logs "
        "WHERE (xid, sequence) > (SELECT through_xid, through_sequence FROM core.audit_seals)"
    )

    assert (await ledger.verifier.verify(ledger.acme)).intact
    assert (await ledger.verifier.verify(ledger.acme, kept=kept)).fault is Fault.HEAD_MISSING
    await ledger.write_and_seal(1)
    assert (await ledger.verifier.verify(ledger.acme, kept=kept)).fault is Fault.HEAD_MISSING
    other = Head(1, bytes(32))
    assert (await ledger.verifier.verify(ledger.acme, kept=other)).fault is Fault.HEAD_MISSING


async def test_a_transaction_that_is_still_running_is_waited_for(ledger: Ledger) -> None:
    """Its entries come before others that are committed already: a seal over those would shut it out."""
    await ledger.write_and_seal(1)
    row = {"organization_id": ledger.acme, "id": new_id(), "first_name": "Slow"}
    async with ledger.database.session(TenantContext(organization_id=ledger.acme)) as slow:
        await slow.execute(insert(Contact).values(row))
        await ledger.write(ledger.acme, 2)
        await ledger.write(ledger.globex, 2)

        assert await ledger.sealer.seal() == 0
        await slow.commit()

    await ledger.seal(5)
    assert (await ledger.verifier.verify(ledger.acme)).intact


async def test_writers_and_sealers_at_once_leave_no_entry_out_and_one_chain(ledger: Ledger) -> None:
    writing = True
    organizations = [ledger.acme, ledger.globex]
    for organization in organizations:
        await ledger.write(organization, 1)
    await ledger.seal(len(organizations))

    async def write(organization_id: UUID) -> None:
        for _ in range(25):
            await ledger.write(organization_id, 2)

    async def keep_sealing() -> None:
        while writing:
            await ledger.sealer.seal()

    sealers = [asyncio.create_task(keep_sealing()) for _ in range(2)]
    await asyncio.gather(*(write(organization) for organization in organizations * 3))
    writing = False
    await asyncio.gather(*sealers)
    await until(ledger.is_sealed, within=20)

    for organization in organizations:
        found = await ledger.verifier.verify(organization)
        assert (found.intact, found.entries, found.unsealed) == (True, 151, 0)
        assert found.seals > 1


async def test_two_sealers_at_the_same_moment_make_one_seal(ledger: Ledger) -> None:
    await ledger.write(ledger.acme, 5)

    async def sealed() -> bool:
        return sum(await asyncio.gather(*(ledger.sealer.seal() for _ in range(4)))) == 5

    await until(sealed, within=20)

    assert await ledger.count(AuditSeal, ledger.acme) == 1


async def test_nothing_new_makes_no_seal(ledger: Ledger) -> None:
    await ledger.write_and_seal(1)

    assert await ledger.sealer.seal() == 0
    assert await ledger.count(AuditSeal, ledger.acme) == 1


async def test_a_long_backlog_is_sealed_in_one_go_and_verified_piece_by_piece(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger.database.session(TenantContext(organization_id=ledger.acme)) as session:
        await session.execute(
            text(
                "INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority) "
                "SELECT :tenant, gen_random_uuid(), 'Ada', 'target', 'new_client', 'low' FROM generate_series(1, :rows)"
            ),
            {"tenant": ledger.acme, "rows": 2 * ENTRIES + 1},
        )
        await session.commit()
    await ledger.seal(2 * ENTRIES + 1)
    monkeypatch.setattr(verifying, "SEALS_AT_ONCE", 1)
    monkeypatch.setattr(verifying, "SECONDS", 0.0)

    seen, after, complete = [], None, False
    while not complete:
        found = await ledger.verifier.verify(ledger.acme, after=after)
        assert found.intact
        complete, after = found.complete, Head.parse(found.head or "")
        seen.append(found.entries)

    assert seen == [ENTRIES, ENTRIES, 1, 0]


async def test_a_chain_goes_on_under_a_new_key_as_long_as_the_old_one_is_known(ledger: Ledger) -> None:
    await ledger.write_and_seal(2)
    both = {"new": b"n" * 32, **ledger.keys}
    await ledger.write(ledger.acme, 2)
    ledger.sealer = Sealer(ledger.database, both)
    await ledger.seal(2)

    found = await Verifier(ledger.database, both).verify(ledger.acme)
    without_old = await Verifier(ledger.database, {"new": b"n" * 32}).verify(ledger.acme)

    assert (found.intact, found.seals) == (True, 2)
    assert (without_old.fault, without_old.broken_at) == (Fault.KEY_UNKNOWN, 1)


@pytest.mark.parametrize("number", [1, 9])
async def test_starting_behind_a_head_that_is_not_there_is_a_fault(chain: Ledger, number: int) -> None:
    found = await chain.verifier.verify(chain.acme, after=Head(number, bytes(32)))

    assert (found.intact, found.fault, found.seals) == (False, Fault.HEAD_MISSING, 0)
