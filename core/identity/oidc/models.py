"""Tables of signing in with an issuer. They belong to no tenant, and only the system role sees them."""

from datetime import datetime
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.audit import QUIET
from core.db.models import PII, Base
from core.ids import new_id

SCHEMA = "core"


class OidcIdentity(Base):
    """Who a person is to an issuer: the pair of issuer and subject, which never changes, and not their address."""

    __tablename__ = "oidc_identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        UniqueConstraint("user_id", "issuer"),
        {"schema": SCHEMA, "info": {"audit": "person"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, info=PII)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_used_at: Mapped[datetime] = mapped_column(default=clock.now, info=QUIET)


class OidcAttempt(Base):
    """One attempt to sign in, from its start until it ends or is given up. Of its secrets only hashes are kept."""

    __tablename__ = "oidc_attempts"
    __table_args__ = (Index("ix_oidc_attempts_expires_at", "expires_at"), {"schema": SCHEMA})

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """Of the secret that the client which began it holds: whoever sees the redirect alone can't end it."""
    provider: Mapped[str] = mapped_column(Text)
    organization: Mapped[str | None] = mapped_column(Text)
    """Short name of the one to enter."""
    started_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """When the issuer's answer came back; it counts once."""
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("core.sessions.id", ondelete="CASCADE"))
    """Where a signed-in person wants the identity linked with their account. It counts while the session lives."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    """Whom the issuer vouched for, where the second factor is still to come."""
