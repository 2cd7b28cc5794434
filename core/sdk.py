"""The one page that a module imports from. What is here is public and stays; nothing else is.

from core.sdk import Ctx, Event, Module, Permission, TenantModel, actor, get, post, requires, subscribe
"""

from litestar import Response
from litestar.datastructures import UploadFile
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody, QueryParameter
from litestar.response import Stream
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.audit import HIDDEN, QUIET
from core.db.models import (
    PII,
    Json,
    OptionalPii,
    OptionalSubjectId,
    Pii,
    SoftDelete,
    SubjectId,
    TenantModel,
    tenant_index,
    tenant_reference,
    tenant_unique,
)
from core.db.pages import DEFAULT_LIMIT, ListQuery, Page
from core.db.reads import Read, ReadLane, Together, mine
from core.db.statements import Row
from core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PlugsError,
    PreconditionFailed,
    TooLarge,
    Unavailable,
)
from core.http.access import requires
from core.http.bodies import convert_strictly
from core.http.conditions import check_if_match, etag_of
from core.http.field_errors import field_errors
from core.http.handlers import delete, get, patch, post, put
from core.http.outgoing import Answer, Outgoing, OutgoingFailed
from core.http.rate_limits import limited
from core.http.responses import IfMatch, Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity.colleagues import People, Person
from core.ids import new_id
from core.permissions import Permission, Role
from core.plugs.hookspecs import hook
from core.plugs.manifest import Module
from core.plugs.switchboard import ModuleSwitched
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx
from core.tasks.registry import Actor, Event, Schedule, actor, subscribe
from core.text import (
    NO_NUL,
    NO_NUL_TITLE,
    Email,
    LongText,
    Moment,
    OptionalText,
    Phone,
    PlainInteger,
    PlainNumber,
    ShortText,
    Url,
)
from core.time_zones import TIME_ZONES
from core.toggles.models import ModuleState

__all__ = [
    "DEFAULT_LIMIT",
    "HIDDEN",
    "NO_NUL",
    "NO_NUL_TITLE",
    "PII",
    "QUIET",
    "TIME_ZONES",
    "Actor",
    "Answer",
    "Conflict",
    "Ctx",
    "Email",
    "Event",
    "FieldError",
    "Forbidden",
    "FromPath",
    "FromQuery",
    "IfMatch",
    "Invalid",
    "JSONBody",
    "Json",
    "Limit",
    "ListQuery",
    "LongText",
    "Malformed",
    "Mapped",
    "Module",
    "ModuleState",
    "ModuleSwitched",
    "Moment",
    "MultipartBody",
    "NotFound",
    "OptionalPii",
    "OptionalSubjectId",
    "OptionalText",
    "Outgoing",
    "OutgoingFailed",
    "Page",
    "PageCursor",
    "People",
    "Permission",
    "Person",
    "Phone",
    "Pii",
    "PlainInteger",
    "PlainNumber",
    "PlugsError",
    "PreconditionFailed",
    "Principal",
    "PrincipalKind",
    "QueryParameter",
    "Read",
    "ReadLane",
    "Response",
    "Role",
    "Row",
    "Schedule",
    "ShortText",
    "SoftDelete",
    "Stream",
    "SubjectId",
    "Tagged",
    "TenantModel",
    "Together",
    "TooLarge",
    "Unavailable",
    "UploadFile",
    "Url",
    "actor",
    "check_if_match",
    "clock",
    "convert_strictly",
    "delete",
    "etag_of",
    "field_errors",
    "get",
    "hook",
    "json_bytes",
    "limited",
    "mapped_column",
    "mine",
    "new_id",
    "patch",
    "post",
    "put",
    "requires",
    "subscribe",
    "tagged",
    "tenant_index",
    "tenant_reference",
    "tenant_unique",
]
