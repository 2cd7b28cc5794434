"""What an organization is made of beside its members: teams, roles of its own, grants, invitations.

Tables that name a person refer to their membership, so whoever leaves takes all of it along.
"""

from datetime import datetime
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, Text, Uuid, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.audit import HIDDEN
from core.db.models import Base, Pii, SoftDelete, TenantModel, tenant_index, tenant_reference, tenant_unique
from core.ids import new_id
from core.permissions import Role

SCHEMA = "core"
LIVING = sql("NOT is_deleted")
SYSTEM_ROLES = f"role IN ({', '.join(repr(role.value) for role in Role)})"


def member_reference(column: str) -> ForeignKeyConstraint:
    """A person of this organization; the row goes when they leave."""
    return ForeignKeyConstraint(
        ["organization_id", column],
        ["core.memberships.organization_id", "core.memberships.user_id"],
        ondelete="CASCADE",
    )


class Team(TenantModel, SoftDelete, schema=SCHEMA):
    __tablename__ = "teams"
    __table_args__ = (
        Index("uq_teams_name", "organization_id", func.lower(sql("name")), unique=True, postgresql_where=LIVING),
    )

    name: Mapped[str]
    description: Mapped[str | None]


class TeamMember(TenantModel, schema=SCHEMA):
    __tablename__ = "team_members"
    __table_args__ = (
        tenant_unique("team_id", "user_id"),
        tenant_reference("team_id", "core.teams"),
        member_reference("user_id"),
        tenant_index("ix_team_members_user_id", "user_id"),
    )

    team_id: Mapped[UUID]
    user_id: Mapped[UUID]


class CustomRole(TenantModel, SoftDelete, schema=SCHEMA):
    """A named set of permissions. It adds to what the person's system role holds."""

    __tablename__ = "roles"
    __table_args__ = (
        Index("uq_roles_name", "organization_id", func.lower(sql("name")), unique=True, postgresql_where=LIVING),
    )

    name: Mapped[str]
    description: Mapped[str | None]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Names. One that no module declares any more gives nothing."""


class RoleGrant(TenantModel, schema=SCHEMA):
    """A custom role that a person holds: for what belongs to one team, or for all where `team_id` is null."""

    __tablename__ = "role_grants"
    __table_args__ = (
        tenant_unique("user_id", "role_id", "team_id", postgresql_nulls_not_distinct=True),
        member_reference("user_id"),
        tenant_reference("role_id", "core.roles"),
        tenant_reference("team_id", "core.teams"),
    )

    user_id: Mapped[UUID]
    role_id: Mapped[UUID]
    team_id: Mapped[UUID | None]
    granted_by: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id", ondelete="SET NULL"))


class Invitation(TenantModel, schema=SCHEMA):
    """An invitation of one address into one role. Its token is stored as a hash and works once."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint(SYSTEM_ROLES, name="role"),
        Index(
            "uq_invitations_email",
            "organization_id",
            "email",
            unique=True,
            postgresql_where=sql("accepted_at IS NULL AND revoked_at IS NULL"),
        ),
        Index("ix_invitations_token_hash", "token_hash"),
    )

    email: Mapped[Pii]
    """Lower case."""
    role: Mapped[str]
    team_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, info=HIDDEN)
    """Not unique across organizations, so that it says nothing about another one's."""
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id", ondelete="SET NULL"))
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    accepted_by: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id", ondelete="SET NULL"))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)


class OneTimeToken(Base):
    """A link that was mailed to a person: which purpose it serves, once, until when. No tenant's; system role only."""

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        CheckConstraint("purpose IN ('verify-email', 'reset-password', 'restore-organization')", name="purpose"),
        Index("ix_one_time_tokens_user_id", "user_id", "purpose"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    purpose: Mapped[str]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("core.organizations.id", ondelete="CASCADE"))
    """What it is about, where it is about an organization."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
