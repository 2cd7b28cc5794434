"""What our migrations can say beyond Alembic's own words; autogenerate writes these lines by itself.

op.guard_tenant_table("networking.contacts")          # forced row security, policies, grants, audit trail
op.audit_table("networking.contacts", hidden=["pin"]) # how the audit trail writes it down, where that changes
op.own_by_system("networking.find_contacts(text)")    # a definer function that must see past row security
"""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.rewriter import Rewriter
from alembic.operations import MigrateOperation, Operations, ops

from core.db.audit import AuditRule, TrailOwner, audit_rule, audit_table, leave_unaudited
from core.db.models import Base
from core.db.tenancy import APP_ROLE, OWNER_ROLE, ROW_PRIVILEGES, SYSTEM_ROLE, guard_table


@Operations.register_operation("guard_tenant_table")
class GuardTenantTable(MigrateOperation):
    def __init__(
        self,
        table: str,
        *,
        app: Sequence[str] = ROW_PRIVILEGES,
        system: Sequence[str] = ROW_PRIVILEGES,
        rule: AuditRule | None,
    ) -> None:
        self.table = table
        self.app = tuple(app)
        self.system = tuple(system)
        self.rule = rule

    @classmethod
    def guard_tenant_table(
        cls,
        operations: Operations,
        table: str,
        *,
        app: Sequence[str] = ROW_PRIVILEGES,
        system: Sequence[str] = ROW_PRIVILEGES,
        audited: bool = True,
        hidden: Sequence[str] = (),
        omitted: Sequence[str] = (),
    ) -> None:
        """Put a tenant table under forced row security, grant it to the roles that use it, and have it audited.

        `app` is what the application may do with its own rows, where that is not everything, and `system` what the
        system role may do. Of `hidden` columns the trail shows no value, of `omitted` ones nothing.
        """
        rule = AuditRule(hidden=tuple(hidden), omitted=tuple(omitted)) if audited else None
        operations.invoke(cls(table, app=app, system=system, rule=rule))

    def reverse(self) -> MigrateOperation:
        return ops.ExecuteSQLOp("")


@Operations.implementation_for(GuardTenantTable)
def _guard_tenant_table(operations: Operations, operation: GuardTenantTable) -> None:
    for statement in guard_table(operation.table, app=operation.app, system=operation.system):
        operations.execute(statement)
    if operation.rule is not None:
        for statement in audit_table(operation.table, operation.rule):
            operations.execute(statement)


@Operations.register_operation("audit_table")
class AuditTable(MigrateOperation):
    def __init__(self, table: str, rule: AuditRule) -> None:
        self.table = table
        self.rule = rule

    @classmethod
    def audit_table(
        cls,
        operations: Operations,
        table: str,
        *,
        owner: TrailOwner = "tenant",
        hidden: Sequence[str] = (),
        omitted: Sequence[str] = (),
    ) -> None:
        """Have the changes of a table written down from now on, or written down otherwise than so far."""
        operations.invoke(cls(table, AuditRule(owner=owner, hidden=tuple(hidden), omitted=tuple(omitted))))


@Operations.implementation_for(AuditTable)
def _audit_table(operations: Operations, operation: AuditTable) -> None:
    for statement in audit_table(operation.table, operation.rule):
        operations.execute(statement)


@Operations.register_operation("leave_unaudited")
class LeaveUnaudited(MigrateOperation):
    def __init__(self, table: str) -> None:
        self.table = table

    @classmethod
    def leave_unaudited(cls, operations: Operations, table: str) -> None:
        """Write the changes of a table down no more; its model says why."""
        operations.invoke(cls(table))


@Operations.implementation_for(LeaveUnaudited)
def _leave_unaudited(operations: Operations, operation: LeaveUnaudited) -> None:
    for statement in leave_unaudited(operation.table):
        operations.execute(statement)


@Operations.register_operation("own_by_system")
class OwnBySystem(MigrateOperation):
    def __init__(self, function: str, caller: str) -> None:
        self.function = function
        self.caller = caller

    @classmethod
    def own_by_system(cls, operations: Operations, function: str, *, caller: str = APP_ROLE) -> None:
        """Hand a SECURITY DEFINER function to the system role, whose policy shows it every row, for `caller` to call.

        The function must carry its own tenant predicate, set its search_path, and stand on the list of the
        catalogue test.
        """
        operations.invoke(cls(function, caller))


@Operations.implementation_for(OwnBySystem)
def _own_by_system(operations: Operations, operation: OwnBySystem) -> None:
    schema = operation.function.split(".", 1)[0]
    operations.execute(f"REVOKE ALL ON FUNCTION {operation.function} FROM PUBLIC")
    operations.execute(f"GRANT CREATE ON SCHEMA {schema} TO {SYSTEM_ROLE}")
    operations.execute(f"ALTER FUNCTION {operation.function} OWNER TO {SYSTEM_ROLE}")
    operations.execute(f"REVOKE CREATE ON SCHEMA {schema} FROM {SYSTEM_ROLE}")
    operations.execute(f"SET ROLE {SYSTEM_ROLE}")  # the function's owner by now, so the one who may let others call it
    operations.execute(f"GRANT EXECUTE ON FUNCTION {operation.function} TO {operation.caller}")
    operations.execute(f"SET ROLE {OWNER_ROLE}")


@renderers.dispatch_for(GuardTenantTable)
def _render_guard(_context: AutogenContext, operation: GuardTenantTable) -> str:
    rule = operation.rule or AuditRule()
    said = {
        "app": operation.app if operation.app != ROW_PRIVILEGES else (),
        "system": operation.system if operation.system != ROW_PRIVILEGES else (),
        "hidden": rule.hidden,
        "omitted": rule.omitted,
    }
    options = [f", {name}={value!r}" for name, value in said.items() if value]
    unaudited = ", audited=False" if operation.rule is None else ""
    return f'op.guard_tenant_table("{operation.table}"{"".join(options)}{unaudited})'


guard_new_tenant_tables = Rewriter()
"""Adds the guard behind every new tenant table of an autogenerated revision."""


@guard_new_tenant_tables.rewrites(ops.CreateTableOp)
def _guard_new_table(_context: Any, _revision: Any, operation: ops.CreateTableOp) -> Any:
    info = operation.info or {}
    if not info.get("tenant"):
        return operation
    operation.info = None
    name = f"{operation.schema}.{operation.table_name}"
    guard = GuardTenantTable(
        name,
        app=info.get("app", ROW_PRIVILEGES),
        system=info.get("system", ROW_PRIVILEGES),
        rule=audit_rule(Base.metadata.tables[name]),
    )
    return [operation, guard]
