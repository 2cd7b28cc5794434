"""Where a run takes place: PostgreSQL and Redis of its own, the same contacts for all three, and their servers."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import jwt
import msgspec
from msgspec import Struct, structs

from core.db.migrations import upgrade
from core.db.reads import Read
from core.identity.directory import create_organization
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.runtime import Runtime, make_runtime
from core.settings import Settings
from core.testing.processes import PLUGS, environment_of, free_port
from core.testing.stage import UNHURRIED
from core.testing.tenants import PASSWORD, password_hash
from core.testing.waiting import until
from modules.networking.models import Contact
from modules.networking.queries import CONTACT_COLUMNS, CONTACTS, FOUND_CONTACTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SECRET = "only-for-the-bench-and-nothing-else"
TENANTS, CONTACTS_EACH = 10, 10_000
LAST_LINES = 25
FILL = """
INSERT INTO networking.contacts (organization_id, id, first_name, last_name, email, phone, company, job_title, bio,
    contact_type, status, priority, industry, notes, metadata, lead_score, created_at)
SELECT $1, uuidv7(), (ARRAY['Amara','Chiara','Diego','Hana','Jonas','Nadia','Priya','Viktor'])[1 + n % 8] || n,
    (ARRAY['Adeyemi','Bauer','Costa','Eriksen','Haddad','Ito'])[1 + n % 6] || (n * 7919 % 10007),
    'person' || n || '@company' || n % 997 || '.example', '+4930' || 100000 + n, 'Company ' || n % 997,
    (ARRAY['Buyer','Engineer','Director','Analyst'])[1 + n % 4], 'Met at the fair in hall ' || n % 20,
    (ARRAY['target','contact','plug'])[1 + n % 3], (ARRAY['new_client','existing_client'])[1 + n % 2],
    (ARRAY['low','medium','high'])[1 + n % 3], (ARRAY['software','energy','logistics'])[1 + n % 3],
    'Wants to hear of offer ' || n, '{"source": "fair"}', n % 100, now() - n * interval '1 minute'
FROM generate_series(1, $2::int) AS n
"""
COPY_TO_SEED = """
INSERT INTO seed.contacts (id, organization_id, created_by, updated_by, first_name, last_name, email, phone, company,
    job_title, linkedin_url, bio, avatar_url, contact_type, status, priority, business_type, network_type, industry,
    notes, metadata, lead_score, last_interaction, created_at, updated_at, is_deleted, deleted_at)
SELECT id, organization_id, created_by, updated_by, first_name, last_name, email, phone, company,
    job_title, linkedin_url, bio, avatar_url, contact_type, status, priority, business_type, network_type, industry,
    notes, metadata, lead_score, last_interaction, created_at, updated_at, is_deleted, deleted_at
FROM networking.contacts
"""
EVENT = """
INSERT INTO core.domain_events (organization_id, id, type, schema_version, payload, correlation_id, occurred_at)
VALUES ($1, $2, 'networking.contact_created', 1, $3, '', now())
"""
JOB = """
INSERT INTO core.outbox (organization_id, id, actor, queue, arguments, correlation_id, created_at, not_before)
VALUES ($1, $2, 'bench_follower.follow', 'default', $3, '', now(), now())
"""


class Tenant(Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    contact_ids: list[UUID]
    """Some of its contacts."""
    token: str = ""
    seed_token: str = ""


class Server(Struct, frozen=True, kw_only=True):
    """A peer's process, ready for requests."""

    name: str
    port: int
    pid: int
    seconds_to_start: float
    log: Path

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])


class Site:
    def __init__(self, settings: Settings, runtime: Runtime, folder: Path) -> None:
        self.settings = settings
        self.runtime = runtime
        self.folder = folder
        self.tenants: list[Tenant] = []

    @asynccontextmanager
    async def connected(self) -> "AsyncGenerator[asyncpg.Connection[asyncpg.Record]]":
        """As the superuser: past row security."""
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        async with self.connected() as connection:
            return await connection.fetch(sql, *values, timeout=600)

    async def fill(self, tenants: int, contacts_each: int) -> None:
        async with self.runtime.open_database("bench") as database:
            for number in range(len(self.tenants), tenants):
                email = f"owner@bench-{number}.example"
                made = await create_organization(
                    database, name=f"Bench {number}", slug=f"bench-{number}", owner_email=email,
                    owner_names=("Olu", "Owner"), password_hash=password_hash(),
                )  # fmt: skip
                assert made is not None
                organization_id = made.organization_id
                await self.query(FILL, organization_id, contacts_each)
                ids = await self.query(
                    "SELECT id FROM networking.contacts WHERE organization_id = $1 LIMIT 200", organization_id
                )
                self.tenants.append(Tenant(id=organization_id, email=email, contact_ids=[row["id"] for row in ids]))
        await self.query("VACUUM ANALYZE")

    async def sign_in(self, port: int, tenants: int) -> None:
        """Tokens of ours, one tenant after the other."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            for index, tenant in enumerate(self.tenants[:tenants]):
                login = {"email": tenant.email, "password": PASSWORD}
                answer = (await client.post("/api/v1/auth/login", json=login)).raise_for_status()
                self.tenants[index] = structs.replace(tenant, token=answer.json()["access_token"])

    async def fill_seed(self) -> None:
        """The seed stack's tables, made by its own models, with the same contacts and one user a tenant."""
        await self.query("CREATE SCHEMA seed")
        process = await asyncio.create_subprocess_exec(
            str(PEERS_PYTHON), "-m", "tests.bench.peers.seed_tables", env=self.peer_environment("seed_stack"), cwd=ROOT
        )
        if await process.wait():
            raise RuntimeError("the seed stack's tables could not be made")
        await self.query(COPY_TO_SEED)
        for index, tenant in enumerate(self.tenants):
            rows = await self.query(
                "INSERT INTO seed.users (id, organization_id, email, is_active) "
                "VALUES (gen_random_uuid(), $1, $2, true) RETURNING id",
                tenant.id, tenant.email,
            )  # fmt: skip
            token = jwt.encode({"sub": str(rows[0]["id"])}, SECRET, algorithm="HS256")
            self.tenants[index] = structs.replace(tenant, seed_token=token)
        await self.query("VACUUM ANALYZE")

    def peer_environment(self, peer: str) -> dict[str, str]:
        """Where its servers are, spelt as its libraries want it."""
        database, redis = self.settings.database_url, self.settings.redis_url
        if peer == "seed_stack":
            database = database.replace("postgresql://", "postgresql+asyncpg://", 1)
            redis = redis.replace("unix://", "redis+socket://", 1)
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BENCH_SECRET": SECRET,
            "BENCH_SQL": str(self.write_statements()),
            "BENCH_DATABASE_URL": database,
            "BENCH_REDIS_URL": redis,
        }

    def write_statements(self) -> Path:
        """Our own SQL, for the floor."""
        shapes = {
            "list": CONTACTS._compile("-created_at", (), "start"),
            "search": FOUND_CONTACTS._compile("-relevance", ("q", "status"), "start"),
            "get": CONTACTS.read_row(),
        }
        columns = ", ".join(_as_returned(column) for column in CONTACT_COLUMNS)
        create = (
            "INSERT INTO networking.contacts (organization_id, id, first_name, last_name, email, company, job_title, "
            "contact_type, status, priority) VALUES ($1, $2, $3, $4, $5, $6, $7, 'target', 'new_client', 'medium') "
            f"RETURNING (SELECT row_to_json(r)::text FROM (SELECT {columns}) AS r)"
        )
        plain = {"create": create, "event": EVENT, "job": JOB}
        file = self.folder / "statements.json"
        file.write_bytes(
            msgspec.json.encode(
                {name: _as_json(read) for name, read in shapes.items()}
                | {name: {"sql": sql, "names": []} for name, sql in plain.items()}
            )
        )
        return file

    @contextmanager
    def serve(self, name: str) -> Iterator[Server]:
        """One of `ours`, `floor`, `seed_stack`."""
        port = free_port()
        command, env = self._command(name, port)
        file = self.folder / f"{name}.log"
        log = file.open("ab")
        started = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
        try:
            asyncio.run(until(lambda: _answers(port, process), within=60, every=0.01))
            seconds = time.perf_counter() - started
            yield Server(name=name, port=port, pid=process.pid, seconds_to_start=seconds, log=file)
        finally:
            process.terminate()
            process.wait(30)
            log.close()

    def _command(self, name: str, port: int) -> tuple[list[str], Mapping[str, str]]:
        if name == "ours":
            path = [HERE / "distribution"]
            return [str(PLUGS), "serve", "--port", str(port)], environment_of(self.settings, python_path=path)
        python = sys.executable if name == "floor" else str(PEERS_PYTHON)
        uvicorn = ["-m", "uvicorn", f"tests.bench.peers.{name}:app", "--port", str(port), "--loop", "uvloop"]
        quiet = ["--no-access-log"] if name == "floor" else []
        return [python, *uvicorn, "--http", "httptools", *quiet], self.peer_environment(name)


def _as_returned(column: Any) -> str:
    """A column of a list as an INSERT can return it: one that the list takes from elsewhere is empty for a new row."""
    return str(column.name) if column.name in Contact.__table__.c else f"'{{}}'::text[] AS {column.name}"


def _as_json(read: Read) -> dict[str, Any]:
    return {"sql": read.sql, "names": list(read.names)}


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the first request is answered, whatever the answer."""
    if process.poll() is not None:
        raise RuntimeError(f"A peer ended with {process.returncode}; see its log")
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5).status_code < 600
    except httpx.TransportError:
        return False


@contextmanager
def open_site() -> Iterator[Site]:
    """The servers, migrated, and nothing in them."""
    with tempfile.TemporaryDirectory(prefix="plugs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres, redis = LocalPostgres(folder / "postgres"), LocalRedis(folder / "redis")
        try:
            settings = Settings(
                database_url=postgres.start(), redis_url=redis.start(), log_level="info", redis_namespace="bench",
                **UNHURRIED,  # type: ignore[arg-type]
            )  # fmt: skip
            runtime = make_runtime(settings)
            asyncio.run(upgrade(settings.owner_url, runtime.migration_sets))
            yield Site(settings, runtime, folder)
        finally:
            redis.stop()
            postgres.remove()
