"""The read side of the trail."""

from collections.abc import AsyncIterator

from sqlalchemy import Text, bindparam, cast, func, literal_column, select
from sqlalchemy.types import DateTime, Uuid

from core.audit.models import AuditLog
from core.db.pages import ListQuery
from core.db.reads import Read, ReadLane, mine

COLUMNS = (
    AuditLog.id,
    AuditLog.created_at,
    AuditLog.user_id,
    AuditLog.impersonator_id,
    AuditLog.api_key_id,
    AuditLog.address,
    AuditLog.correlation_id,
    AuditLog.job_id,
    AuditLog.job_name,
    AuditLog.table_name,
    AuditLog.record_id,
    AuditLog.action,
    AuditLog.old_values,
    AuditLog.new_values,
    AuditLog.metadata_.label("metadata"),
)
FILTERS = {
    "table_name": AuditLog.table_name == bindparam("table_name", type_=Text()),
    "record_id": AuditLog.record_id == bindparam("record_id", type_=Uuid()),
    "user_id": AuditLog.user_id == bindparam("user_id", type_=Uuid()),
    "action": AuditLog.action == bindparam("action", type_=Text()),
    "since": AuditLog.created_at >= bindparam("since", type_=DateTime(timezone=True)),
    "until": AuditLog.created_at < bindparam("until", type_=DateTime(timezone=True)),
}
ENTRIES = ListQuery(AuditLog, columns=COLUMNS, filters=FILTERS, sorts={"created_at": AuditLog.created_at})

_ALL = select(*COLUMNS).where(mine(AuditLog)).order_by(AuditLog.xid, AuditLog.sequence).subquery("entry")
ALL_ENTRIES = Read(select(cast(func.row_to_json(literal_column("entry")), Text)).select_from(_ALL))


async def export_lines(reads: ReadLane) -> AsyncIterator[bytes]:
    """NDJSON: one entry a line, in the order in which they are sealed."""
    async for row in reads.stream(ALL_ENTRIES):
        yield row[0].encode() + b"\n"
