"""Organizations, people, and what connects them.

`organizations`, `users`, `sessions` and `refresh_tokens` are no tenant tables: a person may belong to several
organizations, and signing in happens before there is a tenant. Row security guards them all the same: the application
sees its own organization and the people in it, no password hash, and sessions not at all.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.audit import HIDDEN, QUIET
from core.db.models import PII, Base, SoftDelete, TenantModel, tenant_unique
from core.ids import new_id
from core.permissions import Role

SCHEMA = "core"


class Organization(Base, SoftDelete):
    __tablename__ = "organizations"
    __table_args__ = ({"schema": SCHEMA, "info": {"audit": "organization"}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(Text, unique=True)
    domain: Mapped[str | None]
    subscription_plan: Mapped[str] = mapped_column(Text, default="free", server_default="free")
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    """False while it is suspended."""
    suspended_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    suspended_reason: Mapped[str | None]
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(default=clock.now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now, server_default=func.now())
    deletes_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """The end of the grace in which a deleted organization can be brought back."""
    purged_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """Since when nothing is left of it but this row, its tombstone."""
    purged_rows: Mapped[dict[str, int] | None] = mapped_column(JSONB, info=QUIET)
    """How many rows of each table are gone; it grows while the purge goes on."""

    __mapper_args__ = {"version_id_col": version}


class User(Base, SoftDelete):
    """A person. `organization_id` is where a new session starts; `memberships` says where they belong."""

    __tablename__ = "users"
    __table_args__ = ({"schema": SCHEMA, "info": {"audit": "person"}},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("core.organizations.id"))
    email: Mapped[str] = mapped_column(Text, unique=True, info=PII)
    """Lower case; what the person typed differs only in case."""
    password_hash: Mapped[str | None] = mapped_column(Text, info=HIDDEN)
    first_name: Mapped[str] = mapped_column(Text, default="", server_default="", info=PII)
    last_name: Mapped[str] = mapped_column(Text, default="", server_default="", info=PII)
    phone: Mapped[str | None] = mapped_column(Text, info=PII)
    bio: Mapped[str | None] = mapped_column(Text, info=PII)
    avatar_url: Mapped[str | None] = mapped_column(Text, info=PII)
    job_title: Mapped[str | None] = mapped_column(Text, info=PII)
    company: Mapped[str | None] = mapped_column(Text, info=PII)
    linkedin_url: Mapped[str | None] = mapped_column(Text, info=PII)
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    is_verified: Mapped[bool] = mapped_column(default=False, server_default="false")
    is_admin: Mapped[bool] = mapped_column(default=False, server_default="false")
    verified_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    last_login: Mapped[datetime | None] = mapped_column(DateTimeUTC, info=QUIET)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(default=clock.now, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now, server_default=func.now())
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id"))
    updated_by: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id"))

    __mapper_args__ = {"version_id_col": version}


class Membership(TenantModel, schema=SCHEMA, app=["SELECT", "DELETE"]):
    """A person's place in an organization.

    The application may change its role and end it, but neither make one nor give it to somebody else: a place for any
    id would open that person's row in `users` to it.
    """

    __tablename__ = "memberships"
    __table_args__ = (
        tenant_unique("user_id"),
        CheckConstraint(f"role IN ({', '.join(repr(role.value) for role in Role)})", name="role"),
        Index("ix_memberships_user_id", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Text, default=Role.MEMBER.value)
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")


class Session(Base):
    """One sign-in: the family of refresh tokens that descend from it."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id"),
        Index("ix_sessions_created_at", "created_at", "id"),
        {"schema": SCHEMA, "info": {"audit": "tenant"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("core.organizations.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    revoked_reason: Mapped[str | None]
    last_used_at: Mapped[datetime] = mapped_column(default=clock.now, server_default=func.now(), info=QUIET)
    """To within a minute."""
    address: Mapped[str | None] = mapped_column(Text, info=PII)
    """Where it was signed in from."""
    user_agent: Mapped[str | None] = mapped_column(Text, info=PII)
    second_factor_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """When a code of the second factor opened it, or the session that it was switched from."""


class RefreshToken(Base):
    """A refresh token as its hash; the token itself is nowhere."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"), {"schema": SCHEMA})

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("core.sessions.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
