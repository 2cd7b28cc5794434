"""API keys: a program's way in, scoped, expiring, replaced without a gap, and stored as a hash alone.

A key looks like `plugs_ak_` and 40 letters and digits, then six more that are a checksum of them: scanners of leaked
secrets can tell one from chance, and a mistyped one is refused without a look into the database.
"""

import hashlib
import secrets
import string
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from core import clock
from core.db.database import Database
from core.db.pages import ListQuery
from core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from core.identity.credential_models import ApiKey
from core.identity.models import Membership, Organization, User
from core.identity.permissions import API_KEYS_READ, API_KEYS_WRITE, beyond, grants_of_member, teams_of_member, weigh
from core.identity.standing import check_standing
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx

PREFIX = "plugs_ak_"
SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTH, CHECKSUM_LENGTH, HINT_LENGTH = 40, 6, 6
TOUCH_EVERY = timedelta(minutes=1)
OVERLAP, LONGEST_OVERLAP = timedelta(days=1), timedelta(days=30)
NOT_FOR_KEYS = frozenset({API_KEYS_READ.name, API_KEYS_WRITE.name})
"""A key makes no keys: one that leaked could outlive itself."""

COLUMNS = (
    ApiKey.id,
    ApiKey.user_id,
    ApiKey.name,
    ApiKey.hint,
    ApiKey.scopes,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
    ApiKey.created_at,
    ApiKey.version,
)
API_KEYS = ListQuery(ApiKey, columns=COLUMNS, sorts={"created_at": ApiKey.created_at, "name": ApiKey.name})


class NewKey(Struct, frozen=True):
    """A key, and the one time that it can be seen."""

    row: ApiKey
    key: str


def new_key() -> str:
    body = "".join(secrets.choice(SIGNS) for _ in range(LENGTH))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(key: str) -> bool:
    body = key.removeprefix(PREFIX)
    return len(body) == LENGTH + CHECKSUM_LENGTH and body.isascii() and _checksum(body[:LENGTH]) == body[LENGTH:]


def hash_key(key: str) -> bytes:
    """What is stored. A key has 238 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    number, signs = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(SIGNS))
        signs = SIGNS[digit] + signs
    return signs


def create_api_key(ctx: Ctx, *, name: str, scopes: list[str], expires_at: datetime | None) -> NewKey:
    """Raises `Forbidden` for scopes beyond one's own permissions, and `Conflict` for an end that is past."""
    user_id = _person(ctx)
    _check_scopes(ctx, scopes)
    if expires_at is not None and expires_at <= clock.now():
        raise Conflict("The key would have ended before it begins", code="ends-in-the-past")
    key = new_key()
    row = ApiKey(
        organization_id=ctx.organization_id,
        user_id=user_id,
        name=name,
        hint=key[: len(PREFIX) + HINT_LENGTH],
        key_hash=hash_key(key),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    ctx.db.add(row)
    return NewKey(row, key)


async def rotate_api_key(ctx: Ctx, key_id: UUID, *, old_works_until: datetime | None) -> NewKey:
    """The key's successor, with the same name, scopes and end; the old one works until then (`OVERLAP` where it is not
    said, `LONGEST_OVERLAP` at most), and no longer than before.

    Raises `Conflict` for a key that no longer works.
    """
    _person(ctx)
    old = await _found(ctx, key_id)
    now = clock.now()
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict("It no longer works, so there is nothing to follow it", code="key-ended")
    made = create_api_key(ctx, name=old.name, scopes=old.scopes, expires_at=old.expires_at)
    until = min(max(now, old_works_until or now + OVERLAP), now + LONGEST_OVERLAP)
    old.expires_at = min(until, old.expires_at or until)
    await ctx.db.flush()
    return made


async def revoke_api_key(ctx: Ctx, key_id: UUID) -> None:
    """It stops at once. Doing it again changes nothing."""
    _person(ctx)
    key = await _found(ctx, key_id)
    key.revoked_at = key.revoked_at or clock.now()


async def _found(ctx: Ctx, key_id: UUID) -> ApiKey:
    key = await ctx.db.scalar(
        select(ApiKey).where(ApiKey.organization_id == ctx.organization_id, ApiKey.id == key_id).with_for_update()
    )
    if key is None:
        raise NotFound
    return key


def _person(ctx: Ctx) -> UUID:
    if ctx.principal.kind is not PrincipalKind.USER or ctx.user_id is None:
        raise Forbidden("Keys are looked after by people, not by keys", code="person-needed")
    return ctx.user_id


def _check_scopes(ctx: Ctx, scopes: list[str]) -> None:
    if missing := beyond(ctx.principal.permissions - NOT_FOR_KEYS, scopes):
        raise Forbidden(f"A key of yours can't have {', '.join(missing[:5])}", code="beyond-own-role")


class ApiKeyring:
    """Tells who a key speaks for."""

    def __init__(self, database: Database, permissions: Mapping[str, frozenset[str]]) -> None:
        """`permissions` is what each system role may do."""
        self._database = database
        self._permissions = permissions

    async def authenticate(self, key: str) -> Principal:
        """Who holds this key, as of now: it may do what it was given and its maker may still do.

        Raises `Unauthenticated` for one that doesn't count, whatever the reason; `Forbidden` where the organization is
        suspended.
        """
        if not is_well_formed(key):
            raise Unauthenticated
        now = clock.now()
        async with self._database.system() as system:
            found = (
                await system.execute(
                    select(ApiKey, Organization.is_active, Membership.role, grants_of_member(), teams_of_member())
                    .join(
                        Membership,
                        (Membership.organization_id == ApiKey.organization_id) & (Membership.user_id == ApiKey.user_id),
                    )
                    .join(User, User.id == ApiKey.user_id)
                    .join(Organization, Organization.id == ApiKey.organization_id)
                    .where(ApiKey.key_hash == hash_key(key), *_counts(now))
                )
            ).one_or_none()
            if found is None:
                raise Unauthenticated
            row, is_active, role, grants, teams = found
            check_standing(is_active=is_active)
            if row.last_used_at is None or row.last_used_at <= now - TOUCH_EVERY:
                await system.execute(
                    update(ApiKey)
                    .where(ApiKey.organization_id == row.organization_id, ApiKey.id == row.id)
                    .where(or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - TOUCH_EVERY))
                    .values(last_used_at=now, updated_at=ApiKey.updated_at)
                    .execution_options(synchronize_session=False)
                )
        scopes, held = frozenset(row.scopes) - NOT_FOR_KEYS, weigh(role, grants, self._permissions)
        return Principal(
            kind=PrincipalKind.API_KEY,
            organization_id=row.organization_id,
            user_id=row.user_id,
            api_key_id=row.id,
            role=held.role,
            permissions=held.permissions & scopes,
            valid_until=row.expires_at,
            team_permissions={team: names & scopes for team, names in held.team_permissions.items()},
            teams=frozenset(teams),
        )


def _counts(now: datetime) -> tuple[ColumnElement[bool] | InstrumentedAttribute[bool], ...]:
    return (
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
        Membership.is_active,
        User.is_active,
        User.is_deleted.is_(False),
        Organization.is_deleted.is_(False),
    )
