"""Vectors of contacts' profiles: made in the background by the embedder that there is, compared by matching.

A vector says of which version of its contact it was made. Whatever changes a contact makes it stale, and a job that
was killed, or came late with an older text, leaves it stale: the next run sees to it. An embedder is only asked where
the text itself has changed.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Ctx, Row, new_id
from modules.networking.contract import Embedder
from modules.networking.embedding import PROFILE, BadVector, Profile, compared, likeness, profile_of, unit
from modules.networking.embedding_models import ContactEmbedding
from modules.networking.embedding_queries import EMBEDDINGS_OF, VECTOR_SCHEMA, nearest
from modules.networking.models import Contact
from modules.networking.values import Consent

BATCH_CONTACTS = 100
MADE = ("contact_version", "model", "text_hash", "fields", "embedding")
EMBED_SECONDS = 60.0
"""For one batch; a job that waits longer fails, and is tried again later."""


class Alike(Struct, frozen=True, kw_only=True):
    """How alike the profile of another contact is."""

    likeness: float
    compared: list[str]


async def embed_stale(ctx: Ctx) -> None:
    """The job: a vector for every contact that has none, or another text than it was made of. Nothing is told to the
    embedder of those who have withdrawn consent, as they are recommended to nobody."""
    embedder = ctx.use(Embedder)
    if embedder is None:
        return
    model = model_of(embedder)
    while rows := await _stale(ctx, model):
        await ctx.checkpoint()  # an embedder may take its time: no transaction waits for it
        profiles = {row.id: profile_of(row._mapping) for row in rows}
        asked = [row.id for row in rows if profiles[row.id].text and _is_new(row, profiles[row.id], model)]
        vectors = await _vectors(embedder, [profiles[contact_id].text for contact_id in asked])
        await _store(ctx, rows, profiles, dict(zip(asked, vectors, strict=True)), model)
        await ctx.checkpoint()


def model_of(embedder: Embedder) -> str:
    return f"{embedder.name}/{embedder.dimensions}"


async def _stale(ctx: Ctx, model: str) -> Sequence[Any]:
    made = ContactEmbedding
    found = await ctx.db.execute(
        select(
            Contact.id,
            Contact.version,
            *(getattr(Contact, name) for name in PROFILE),
            made.model,
            made.text_hash,
            made.embedding,
        )
        .outerjoin(made, (made.organization_id == Contact.organization_id) & (made.contact_id == Contact.id))
        .where(
            Contact.organization_id == ctx.organization_id,
            ~Contact.is_deleted,
            Contact.marketing_consent != Consent.WITHDRAWN,
            or_(made.id.is_(None), made.contact_version != Contact.version, made.model != model),
        )
        .order_by(Contact.id)
        .limit(BATCH_CONTACTS)
    )
    return found.all()


def _is_new(row: Any, profile: Profile, model: str) -> bool:
    return row.model != model or row.text_hash != profile.hash


async def _vectors(embedder: Embedder, texts: Sequence[str]) -> list[list[float] | None]:
    if not texts:
        return []
    async with asyncio.timeout(EMBED_SECONDS):
        vectors = await embedder.embed(texts)
    if len(vectors) != len(texts):
        raise BadVector(f"expected {len(texts)} vectors")
    return [unit(vector, embedder.dimensions) for vector in vectors]


async def _store(
    ctx: Ctx, rows: Sequence[Any], profiles: dict[UUID, Profile], vectors: dict[UUID, list[float] | None], model: str
) -> None:
    """Contacts that are gone by now are left out: what is there can't go before this transaction is over."""
    there = await ctx.db.scalars(
        select(Contact.id)
        .where(Contact.organization_id == ctx.organization_id, Contact.id.in_(list(profiles)), ~Contact.is_deleted)
        .order_by(Contact.id)
        .with_for_update(read=True, key_share=True)
    )
    living = set(there)
    values = [
        {
            "organization_id": ctx.organization_id,
            "id": new_id(),
            "contact_id": row.id,
            "contact_version": row.version,
            "model": model,
            "text_hash": profiles[row.id].hash,
            "fields": profiles[row.id].fields,
            "embedding": vectors[row.id] if row.id in vectors else row.embedding if profiles[row.id].text else None,
        }
        for row in rows
        if row.id in living
    ]
    if not values:
        return
    statement = insert(ContactEmbedding).values(values)
    changed = {name: statement.excluded[name] for name in MADE}
    await ctx.db.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "contact_id"], set_=changed | {"version": ContactEmbedding.version + 1}
        )
    )


class Likenesses:
    """How alike others are to one contact."""

    def __init__(self, ctx: Ctx, model: str, own: Row) -> None:
        self._ctx = ctx
        self._model = model
        self._own = own

    @classmethod
    async def of(cls, ctx: Ctx, contact_id: UUID) -> "Likenesses | None":
        """None where the organization has no embedder, or there is no vector of the contact yet."""
        embedder = ctx.use(Embedder)
        if embedder is None:
            return None
        model = model_of(embedder)
        own = await ctx.reads.first(EMBEDDINGS_OF, model=model, ids=[contact_id])
        return None if own is None else cls(ctx, model, own)

    async def nearest(self, **candidates: Any) -> Sequence[Row]:
        """Those who are the likest of all; nobody where the database has no operators for that. `candidates` is what
        the query of candidates takes."""
        found = await self._ctx.reads.first(VECTOR_SCHEMA)
        if found is None:
            return []
        return await self._ctx.reads.rows(
            nearest(found["nspname"]), model=self._model, embedding=self._own["embedding"], **candidates
        )

    async def with_(self, contact_ids: Collection[UUID]) -> dict[UUID, Alike]:
        rows = await self._ctx.reads.rows(EMBEDDINGS_OF, model=self._model, ids=list(contact_ids))
        return {
            row["contact_id"]: Alike(
                likeness=likeness(self._own["embedding"], row["embedding"]),
                compared=compared(self._own["fields"], row["fields"]),
            )
            for row in rows
        }
