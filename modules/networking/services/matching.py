"""Matching: a member's own profile, recommendations for members and for contacts, and what is said of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Conflict, Ctx, NotFound, People, Row, check_if_match, clock, new_id
from modules.networking.locks import lock
from modules.networking.matching import (
    CONTACT_RULES,
    MEMBER_RULES,
    Rule,
    are_of_one_company,
    fold,
    folded,
    reasons,
    similar,
)
from modules.networking.matching_models import MatchFeedback, MatchingProfile
from modules.networking.matching_queries import CONTACTS, MEMBERS
from modules.networking.matching_schemas import MatchingProfileIn, MatchingProfileOut, Recommendation, Recommendations
from modules.networking.services.connections import person_of
from modules.networking.services.contacts import find_contact
from modules.networking.services.embeddings import Alike, Likenesses
from modules.networking.settings import NetworkingSettings
from modules.networking.values import Consent, Verdict
from modules.networking.visibility import viewer_of

LISTS = ("interests", "goals", "offers")
TRAITS = ("industry", *LISTS)
NOBODY: Mapping[UUID, Alike] = MappingProxyType({})


async def own_profile(ctx: Ctx) -> MatchingProfileOut:
    profile = await _profile(ctx)
    return profile_out(profile or MatchingProfile(version=0, is_open=False, interests=[], goals=[], offers=[]))


async def change_profile(ctx: Ctx, data: MatchingProfileIn, *, if_match: str | None) -> MatchingProfileOut:
    """Replace it. Of two who do so at once the second waits; values that differ in case alone are one."""
    await lock(ctx, "matching", person_of(ctx))
    profile = await _profile(ctx)
    check_if_match(if_match, profile.version if profile else 0)
    if profile is None:
        profile = MatchingProfile(id=new_id(), user_id=person_of(ctx))
        ctx.db.add(profile)
    profile.is_open, profile.company, profile.industry = data.is_open, data.company, data.industry
    for name in LISTS:
        setattr(profile, name, list(folded(getattr(data, name)).values()))
    profile.terms = sorted(folded([value for values in _traits(profile).values() for value in values]))
    await ctx.db.flush()
    return profile_out(profile)


def profile_out(profile: MatchingProfile) -> MatchingProfileOut:
    return MatchingProfileOut(
        version=profile.version,
        is_open=profile.is_open,
        company=profile.company,
        industry=profile.industry,
        interests=profile.interests,
        goals=profile.goals,
        offers=profile.offers,
        updated_at=profile.updated_at,
    )


async def _profile(ctx: Ctx) -> MatchingProfile | None:
    return await ctx.db.scalar(
        select(MatchingProfile).where(
            MatchingProfile.organization_id == ctx.organization_id, MatchingProfile.user_id == person_of(ctx)
        )
    )


async def recommended_members(ctx: Ctx, *, limit: int) -> Recommendations:
    """Members who want to be found, for one who wants to be found; for one who doesn't, none."""
    profile = await _profile(ctx)
    if profile is None or not profile.is_open or not profile.terms:
        return Recommendations(items=[])
    settings = ctx.settings(NetworkingSettings)
    rows = await ctx.reads.rows(
        MEMBERS,
        me=profile.user_id,
        terms=profile.terms,
        company=fold(profile.company or "") or None,
        apart=settings.match_other_companies_only,
        fresh=clock.now() - timedelta(days=settings.decline_cooldown_days),
    )
    people = await People(ctx).known(row["user_id"] for row in rows)
    names = {person.id: person.name for person in people.values() if person.is_active}
    known = [row for row in _apart(settings, profile.company, rows) if row["user_id"] in names]
    return _ranked(ctx, _traits(profile), known, MEMBER_RULES, names, limit)


async def recommended_contacts(ctx: Ctx, contact_id: UUID, *, limit: int) -> Recommendations:
    """Contacts whom this one should meet. Who has withdrawn consent is recommended to nobody, and nobody to them."""
    contact = await find_contact(ctx, contact_id)
    settings = ctx.settings(NetworkingSettings)
    traits = _traits_of_contact({rule.field: getattr(contact, rule.field) for rule in CONTACT_RULES})
    likenesses = await Likenesses.of(ctx, contact.id)
    if contact.marketing_consent == Consent.WITHDRAWN or not (traits or likenesses):
        return Recommendations(items=[])
    given: dict[str, Any] = {}
    for rule in CONTACT_RULES:
        given[rule.field] = next(iter(folded(traits.get(rule.field, ()))), None)
        given[f"{rule.field}_points"] = getattr(settings.match_weights, rule.weight)
    asked: dict[str, Any] = {
        "me": contact.id,
        "company": fold(contact.company or "") or None,
        "apart": settings.match_other_companies_only,
        "viewer": viewer_of(ctx),
    }
    rows = await ctx.reads.rows(CONTACTS, **asked, **given)
    alike: dict[UUID, Alike] = {}
    if likenesses is not None:
        rows = list({row["id"]: row for row in (*rows, *await likenesses.nearest(**asked))}.values())
        alike = await likenesses.with_([row["id"] for row in rows])
    names = {row["id"]: " ".join(filter(None, (row["first_name"], row["last_name"]))) for row in rows}
    others = _apart(settings, contact.company, rows)
    return _ranked(ctx, traits, others, CONTACT_RULES, names, limit, alike)


def _apart(settings: NetworkingSettings, company: str | None, rows: Iterable[Row]) -> Iterable[Row]:
    """The query leaves people of one company out already, as far as its letters are ours."""
    apart = settings.match_other_companies_only
    return [row for row in rows if not (apart and are_of_one_company(company, row["company"]))]


def _ranked(
    ctx: Ctx,
    traits: Mapping[str, Sequence[str]],
    rows: Iterable[Row],
    rules: Sequence[Rule],
    names: Mapping[UUID, str],
    limit: int,
    alike: Mapping[UUID, Alike] = NOBODY,
) -> Recommendations:
    settings = ctx.settings(NetworkingSettings)
    weights = settings.match_weights
    items: list[Recommendation] = []
    for row in rows:
        theirs = _traits_of_contact(row) if rules is CONTACT_RULES else _traits_of_member(row)
        other = row["id"] if rules is CONTACT_RULES else row["user_id"]
        found = reasons(traits, theirs, rules, weights)
        if near := alike.get(other):
            found += similar(near.likeness, near.compared, weights, least=settings.match_likeness)
            found.sort(key=lambda reason: -reason.points)
        if found:
            score = sum(reason.points for reason in found)
            verdict = Verdict.USEFUL if row["is_useful"] else None
            items.append(Recommendation(id=other, name=names[other], score=score, reasons=found, feedback=verdict))
    items.sort(key=lambda item: (item.feedback is not Verdict.USEFUL, -item.score, item.id))
    return Recommendations(items=items[:limit])


def _traits(profile: MatchingProfile) -> dict[str, list[str]]:
    return _traits_of_member({name: getattr(profile, name) for name in TRAITS})


def _traits_of_member(row: Mapping[str, Any] | Row) -> dict[str, list[str]]:
    return {"industry": [row["industry"] or ""], **{name: row[name] for name in LISTS}}


def _traits_of_contact(row: Mapping[str, Any] | Row) -> dict[str, list[str]]:
    return {rule.field: [row[rule.field]] for rule in CONTACT_RULES if row[rule.field]}


async def judge_member(ctx: Ctx, user_id: UUID, verdict: Verdict) -> None:
    """Raises `NotFound` for one who is no member, and `Conflict` for oneself."""
    me = person_of(ctx)
    _not_the_same(me, user_id)
    if user_id not in await People(ctx).known([user_id]):
        raise NotFound("There is no such member")
    await _judge(ctx, me, user_id, verdict)


async def judge_contact(ctx: Ctx, contact_id: UUID, other_id: UUID, verdict: Verdict) -> None:
    """Raises `NotFound` where one of the two is not there, and `Conflict` where they are one."""
    contact, other = await find_contact(ctx, contact_id), await find_contact(ctx, other_id)
    _not_the_same(contact.id, other.id)
    await _judge(ctx, contact.id, other.id, verdict)


def _not_the_same(one: UUID, other: UUID) -> None:
    if one == other:
        raise Conflict("Nobody is recommended to themselves", code="oneself")


async def _judge(ctx: Ctx, about_id: UUID, other_id: UUID, verdict: Verdict) -> None:
    said = {"verdict": verdict.value, "given_by": ctx.user_id}
    statement = insert(MatchFeedback).values(
        organization_id=ctx.organization_id, id=new_id(), about_id=about_id, other_id=other_id, **said
    )
    await ctx.db.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "about_id", "other_id"],
            set_=said | {"version": MatchFeedback.version + 1, "updated_at": func.now()},
        )
    )
