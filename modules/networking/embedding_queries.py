"""Vectors as matching reads them, and the nearest ones where PostgreSQL can look for them (pgvector)."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, REAL, Float, Text, Uuid, any_, bindparam, cast, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.compiler import IdentifierPreparer
from sqlalchemy.types import UserDefinedType

from core.sdk import Read, mine
from modules.networking.embedding_models import ContactEmbedding
from modules.networking.matching_queries import CANDIDATE, CANDIDATE_COLUMNS
from modules.networking.models import Contact

MOST_NEAREST = 100
MODEL = bindparam("model", type_=Text())
_ALIVE = (mine(ContactEmbedding), ContactEmbedding.model == MODEL, ContactEmbedding.embedding.is_not(None))

EMBEDDINGS_OF = Read(
    select(ContactEmbedding.contact_id, ContactEmbedding.fields, ContactEmbedding.embedding).where(
        *_ALIVE, ContactEmbedding.contact_id == any_(bindparam("ids", type_=ARRAY(Uuid)))
    )
)
VECTOR_SCHEMA = Read(
    select(
        text("n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'")
    )
)
"""Where pgvector's operators are; no row where this database doesn't have it."""
_preparer = IdentifierPreparer(postgresql.dialect())


class _Vector(UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def get_col_spec(self, **_: Any) -> str:
        return f"{_preparer.quote(self.schema)}.vector"


@lru_cache(maxsize=8)
def nearest(schema: str) -> Read:
    """Candidates whose profiles are the likest, whether or not they share anything by the letter. Every vector of the
    organization is compared: an index of pgvector's would not be used under row security."""
    kind = _Vector(schema)
    given = cast(bindparam("embedding", type_=ARRAY(REAL)), kind)
    apart = cast(ContactEmbedding.embedding, kind).op(f"OPERATOR({_preparer.quote(schema)}.<=>)", return_type=Float())(
        given
    )
    return Read(
        select(*CANDIDATE_COLUMNS)
        .join(
            ContactEmbedding,
            (ContactEmbedding.organization_id == Contact.organization_id) & (ContactEmbedding.contact_id == Contact.id),
        )
        .where(*CANDIDATE, *_ALIVE)
        .order_by(apart, Contact.id)
        .limit(MOST_NEAREST)
    )
