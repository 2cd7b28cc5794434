"""Who the organization's members are, for modules: these refer to people by id and keep no copy of a name."""

from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ARRAY, Uuid, and_, bindparam, func, select

from core.db.reads import Read, mine
from core.db.statements import Row
from core.errors import NotFound
from core.identity.models import Membership, User
from core.identity.organization_models import Team
from core.tasks.context import Ctx

_PEOPLE = Read(
    select(
        User.id,
        User.email,
        User.first_name,
        User.last_name,
        and_(Membership.is_active, User.is_active, ~User.is_deleted).label("is_active"),
    ).where(
        mine(Membership),
        User.id == Membership.user_id,
        Membership.user_id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
    )
)


_TEAMS = Read(
    select(Team.id).where(mine(Team), ~Team.is_deleted, Team.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
)


class Person(Struct, frozen=True, kw_only=True):
    """A member of the organization."""

    id: UUID
    name: str
    """First and last name, or the address of one who has given none."""
    is_active: bool
    """False for one who may not sign in here at present."""


class People:
    """`await People(ctx).active(user_id)`. Whoever has left the organization is nobody here."""

    def __init__(self, ctx: Ctx) -> None:
        self._ctx = ctx

    async def known(self, ids: Iterable[UUID]) -> dict[UUID, Person]:
        """Those of the ids that are members, in one query however many."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        rows = await self._ctx.reads.rows(_PEOPLE, ids=wanted)
        return {row["id"]: _person(row) for row in rows}

    async def active(self, user_id: UUID) -> Person:
        """Raises `NotFound` for one who is no member, or may not sign in."""
        person = (await self.known([user_id])).get(user_id)
        if person is None or not person.is_active:
            raise NotFound("There is no such member")
        return person

    async def team(self, team_id: UUID) -> UUID:
        """The team's id. Raises `NotFound` where there is none, or it is deleted."""
        if not await self._ctx.reads.rows(_TEAMS, ids=[team_id]):
            raise NotFound("There is no such team")
        return team_id


def _person(row: Row) -> Person:
    name = f"{row['first_name']} {row['last_name']}".strip()
    return Person(id=row["id"], name=name or row["email"], is_active=row["is_active"])
