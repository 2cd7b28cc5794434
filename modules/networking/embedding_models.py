"""What an embedder made of contacts' profiles."""

from sqlalchemy import ARRAY, REAL, Integer, LargeBinary, Text

from core.sdk import PII, Mapped, SubjectId, TenantModel, mapped_column, tenant_reference, tenant_unique
from modules.networking.models import SCHEMA


class ContactEmbedding(TenantModel, schema=SCHEMA, unaudited="made of the contact's own columns, which are audited"):
    __tablename__ = "contact_embeddings"
    __table_args__ = (tenant_reference("contact_id", f"{SCHEMA}.contacts"), tenant_unique("contact_id"))

    contact_id: Mapped[SubjectId]
    contact_version: Mapped[int] = mapped_column(Integer)
    """Of the contact that was read. Where it has another one by now, its text is looked at again."""
    model: Mapped[str]
    """The embedder's name and how many numbers it makes: vectors of two can't be compared."""
    text_hash: Mapped[bytes] = mapped_column(LargeBinary)
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    """Of which the text was made."""
    embedding: Mapped[list[float] | None] = mapped_column(ARRAY(REAL), info=PII)
    """Of length one. Null where there is no text, or the embedder knows nothing of it."""
