"""Tables of credentials: signing keys, second factors, API keys, and the count of failed sign-ins.

All but `api_keys` belong to no tenant, and only the system role sees them.
"""

from datetime import datetime
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ARRAY, BigInteger, ForeignKey, Index, Integer, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.audit import HIDDEN, QUIET
from core.db.models import Base, SubjectId, TenantModel
from core.ids import new_id
from core.secrets.sealed import Sealed

SCHEMA = "core"


class SigningKey(Base):
    """An Ed25519 key for access tokens; its id is the `kid`. It verifies as long as its row is there."""

    __tablename__ = "signing_keys"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    private_key: Mapped[Sealed]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    signs_from: Mapped[datetime]
    """From then on it signs, until a younger one does."""


class TotpFactor(Base):
    """A person's authenticator app. It counts once it is confirmed."""

    __tablename__ = "totp_factors"
    __table_args__ = ({"schema": SCHEMA, "info": {"audit": "person"}},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"), primary_key=True)
    seed: Mapped[Sealed]
    last_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0", info=QUIET)
    """Time step of the youngest code that was used; neither it nor an older one counts again."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)


class RecoveryCode(Base):
    """A code that stands in for the second factor once, as its hash."""

    __tablename__ = "recovery_codes"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class SignInAttempts(Base):
    """How often a sign-in to one account, or from one address, failed of late. Neither is named: only keyed hashes."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_last_failed_at", "last_failed_at"), {"schema": SCHEMA})

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(Integer)
    last_failed_at: Mapped[datetime]
    blocked_until: Mapped[datetime]


class ApiKey(TenantModel, schema=SCHEMA):
    """A program's way in, for the person who made it and with no more than they may."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_key_hash", "key_hash"), Index("ix_api_keys_user_id", "user_id"))

    user_id: Mapped[SubjectId] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"))
    """Who made it. What they may no longer do, it may not do either."""
    name: Mapped[str] = mapped_column(Text)
    hint: Mapped[str] = mapped_column(Text)
    """The first characters, by which people tell their keys apart."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, info=HIDDEN)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    last_used_at: Mapped[datetime | None] = mapped_column(DateTimeUTC, info=QUIET)
    """To within a minute."""
