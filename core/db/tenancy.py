"""Tenancy is the database's job: which roles there are, how a transaction learns its tenant, what guards a table.

Three roles, all without login; a login is made a member and each connection takes on one of them:

- `plugs_owner` owns every object and migrates;
- `plugs_app` serves requests and jobs: it owns nothing and sees only the tenant that its transaction names;
- `plugs_system` has policies of its own and is used in a few named places (sign-in look-up, relay, worker's claim).
"""

from collections.abc import Sequence
from contextvars import ContextVar, Token
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from msgspec import Struct

OWNER_ROLE = "plugs_owner"
APP_ROLE = "plugs_app"
SYSTEM_ROLE = "plugs_system"

CURRENT_ORGANIZATION = "nullif(current_setting('app.organization_id', true), '')::uuid"
"""The tenant of the running transaction as SQL. After one the setting is '' rather than NULL, hence nullif."""


class Acting(Struct, frozen=True, kw_only=True):
    """Who does what a transaction does, from where, and within what: for the audit trail, never for a decision.

    PostgreSQL sees each field as the setting `app.<name>`.
    """

    user_id: UUID | None = None
    """Whose account acts; None where nobody is signed in, and for the system itself."""
    impersonator_id: UUID | None = None
    """The operator behind the account, where it is not its owner."""
    api_key_id: UUID | None = None
    address: str | None = None
    correlation_id: str = ""
    job_id: UUID | None = None
    job_name: str | None = None
    """The actor that the job runs."""

    def as_sql(self) -> str:
        """`SET LOCAL` statements, safe to append to BEGIN: every value is quoted."""
        settings = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return "".join([f"SET LOCAL app.{name} = {_literal(str(value))};" for name, value in settings if value])


class TenantContext(Acting, frozen=True, kw_only=True):
    """What a transaction on the write or the read lane knows: the tenant that it sees, and who acts in it."""

    organization_id: UUID

    def without_tenant(self) -> Acting:
        return Acting(**{name: getattr(self, name) for name in Acting.__struct_fields__})


_NOBODY = Acting()
_ACTING: ContextVar[Acting] = ContextVar("acting", default=_NOBODY)
"""What transactions of the system role, which have no context of their own, tell the audit trail. It follows the
request or the job through every call, so that no caller can forget to hand it on."""


class acting:  # noqa: N801 # read as a verb, like those of contextlib
    """Until the end of the `with` block, what the system role does is done by `who`."""

    __slots__ = ("_before", "_who")

    _before: Token[Acting]

    def __init__(self, who: Acting) -> None:
        self._who = who

    def __enter__(self) -> None:
        self._before = _ACTING.set(self._who)

    def __exit__(self, *_: object) -> None:
        _ACTING.reset(self._before)


def who_acts() -> Acting:
    """No tenant is part of it: the system role has none."""
    who = _ACTING.get()
    return who.without_tenant() if isinstance(who, TenantContext) else who


def _literal(text: str) -> str:
    """A PostgreSQL string literal that holds whatever `standard_conforming_strings` says; NUL can't be in one."""
    escaped = text.replace("\0", "").replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in escaped else f"'{escaped}'"


FIRST_OWN_OID = 16_384
"""PostgreSQL numbers what it brings itself below that, alike on every server."""
_BUILT_IN_TYPES: dict[tuple[int, ...], Any] = {}
"""By the types' numbers: how they are made up."""

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # generic for type checkers alone


class TenantConnection(_Connection):
    """A connection that knows its tenant, in one of two ways.

    On the write lane a context rides on BEGIN, in the same round trip. Two guards keep tenants apart and each has a
    regression test: savepoints are passed through untouched, and `enter(None)` is called whenever a pool hands the
    connection out, so that no context outlives its borrower. On the read lane the connection as a whole is put into
    a tenant (`serve`), which the lane's pool asks for each time that it lends it.
    """

    __slots__ = ("_context_sql", "_is_there", "serves")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context_sql = ""
        self.serves: UUID | None = None
        """The tenant that the connection was last put into."""
        self._is_there = True
        """Whether PostgreSQL has said so: of a change that was broken off, nobody knows whether it happened."""

    async def serve(self, tenant: UUID | None) -> None:
        """From here on, what runs outside of a transaction that names another sees this tenant; None means none."""
        if self._is_there and self.serves == tenant:
            return
        if self.is_in_transaction():
            raise RuntimeError("a transaction's tenant can't be changed: a rollback would take it back unseen")
        self._is_there, self.serves = False, tenant
        await super().execute(f"SET app.organization_id = {_literal(str(tenant or ''))}")
        self._is_there = True

    def enter(self, context: Acting | None) -> None:
        """The next transaction runs in this context; None means no tenant, and so no rows."""
        self._context_sql = "" if context is None else context.as_sql()

    def begin_with(self, first: str) -> None:
        """SQL without parameters that runs in the same round trip as BEGIN, once the transaction is in its context."""
        self._context_sql += first

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 # asyncpg's own signature
        if args or not query.startswith("BEGIN"):
            return await super().execute(query, *args, timeout=timeout)
        try:
            return await super().execute(f"{query.rstrip(';')};{self._context_sql}", timeout=timeout)
        except BaseException:
            self.terminate()  # nobody would roll back: to whoever asked, the transaction has not begun
            raise

    def get_reset_query(self) -> str:
        """Nothing: all that a transaction sets is LOCAL to it, which saves a round trip at each hand-back."""
        return ""

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 # likewise
        """What asyncpg asks of the types that it doesn't know by heart, such as arrays. Those that PostgreSQL itself
        brings are the same on every connection: the first of a process asks for all, and spares each a slow query."""
        wanted = tuple(sorted(typeoids))
        if (known := _BUILT_IN_TYPES.get(wanted)) is not None:
            return known, SimpleNamespace(name="none was run")
        found, statement = await super()._introspect_types(typeoids, timeout)  # pyright: ignore
        if wanted and wanted[-1] < FIRST_OWN_OID:
            _BUILT_IN_TYPES[wanted] = found
        return found, statement


ROW_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")


def guard_table(
    table: str, *, app: Sequence[str] = ROW_PRIVILEGES, system: Sequence[str] = ROW_PRIVILEGES
) -> list[str]:
    """Statements that put a tenant table under forced row security and grant it to the roles that use it.

    `table` is a qualified name; `app` is what the application may do with its own rows, `system` what the system role
    may do with everybody's. The predicate stands in USING
    and in WITH CHECK: a row can neither be seen nor written into another tenant. The owner gets no policy, so even it
    sees no rows of a guarded table.
    """
    mine = f"organization_id = {CURRENT_ORGANIZATION}"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} TO {APP_ROLE} USING ({mine}) WITH CHECK ({mine})",
        f"CREATE POLICY system ON {table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)",
        f"GRANT {', '.join(app)} ON {table} TO {APP_ROLE}",
        f"GRANT {', '.join(system)} ON {table} TO {SYSTEM_ROLE}",
    ]
