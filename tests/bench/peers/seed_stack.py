"""The seed stack: FastAPI, the SQLAlchemy ORM, Pydantic and Celery, as their own documentation teaches to use them.

The signed-in user is decoded from a JWT and loaded from the database, a session comes as a dependency, answers go
through a response model, and every query carries a tenant filter. One process.
"""

import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import jwt
from celery import Celery
from fastapi import Depends, FastAPI, HTTPException, Query, status
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, ForeignKey, Index, String, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["BENCH_SECRET"]
engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=10, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)
celery = Celery("seed", broker=os.environ["BENCH_REDIS_URL"])
oauth2 = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


@celery.task
def contact_created(_contact_id: str) -> None:
    """What follows a new contact."""


class Base(DeclarativeBase):
    pass


def now() -> datetime:
    return datetime.now(UTC)


class User(Base):
    __tablename__ = "users"
    __table_args__ = ({"schema": "seed"},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_id: Mapped[UUID] = mapped_column(index=True)
    email: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)


class Contact(Base):
    __tablename__ = "contacts"
    __table_args__ = (
        Index("ix_seed_contacts_created", "organization_id", "created_at"),
        Index("ix_seed_contacts_email", "organization_id", "email"),
        {"schema": "seed"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_id: Mapped[UUID] = mapped_column(index=True)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("seed.users.id"))
    updated_by: Mapped[UUID | None]
    first_name: Mapped[str] = mapped_column(String(100))
    last_name: Mapped[str | None] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(255))
    phone: Mapped[str | None]
    company: Mapped[str | None]
    job_title: Mapped[str | None]
    linkedin_url: Mapped[str | None]
    bio: Mapped[str | None]
    avatar_url: Mapped[str | None]
    contact_type: Mapped[str] = mapped_column(default="target")
    status: Mapped[str] = mapped_column(default="new_client")
    priority: Mapped[str] = mapped_column(default="medium")
    business_type: Mapped[str | None]
    network_type: Mapped[str | None]
    industry: Mapped[str | None]
    notes: Mapped[str | None]
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)
    lead_score: Mapped[int] = mapped_column(default=0)
    last_interaction: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, onupdate=now)
    is_deleted: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AuditLog(Base):
    __tablename__ = "audit_logs"
    __table_args__ = ({"schema": "seed"},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    action: Mapped[str]
    entity_id: Mapped[UUID]
    new_values: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


class Event(Base):
    __tablename__ = "events"
    __table_args__ = ({"schema": "seed"},)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_id: Mapped[UUID]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


class ContactCreate(BaseModel):
    first_name: str
    last_name: str | None = None
    email: str | None = None
    company: str | None = None
    job_title: str | None = None


class ContactOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    organization_id: UUID
    created_by: UUID | None
    first_name: str
    last_name: str | None
    email: str | None
    phone: str | None
    company: str | None
    job_title: str | None
    linkedin_url: str | None
    bio: str | None
    avatar_url: str | None
    contact_type: str
    status: str
    priority: str
    business_type: str | None
    network_type: str | None
    industry: str | None
    notes: str | None
    extra: dict[str, Any]
    lead_score: int
    last_interaction: datetime | None
    created_at: datetime
    updated_at: datetime
    is_deleted: bool


async def get_session() -> AsyncGenerator[AsyncSession]:
    async with new_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]


async def get_current_user(token: Annotated[str, Depends(oauth2)], session: SessionDep) -> User:
    try:
        payload = jwt.decode(token, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED) from error
    user = await session.get(User, UUID(payload["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED)
    return user


UserDep = Annotated[User, Depends(get_current_user)]


@app.get("/contacts", response_model=list[ContactOut])
async def list_contacts(
    session: SessionDep,
    user: UserDep,
    q: str | None = None,
    contact_status: Annotated[str | None, Query(alias="status")] = None,
    limit: Annotated[int, Query(le=200)] = 20,
    offset: int = 0,
) -> Any:
    statement = select(Contact).where(Contact.organization_id == user.organization_id, Contact.is_deleted.is_(False))
    if contact_status:
        statement = statement.where(Contact.status == contact_status)
    if q:
        like = f"%{q}%"
        statement = statement.where(
            or_(
                Contact.first_name.ilike(like),
                Contact.last_name.ilike(like),
                Contact.email.ilike(like),
                Contact.company.ilike(like),
                Contact.job_title.ilike(like),
            )
        )
    statement = statement.order_by(Contact.created_at.desc()).limit(limit).offset(offset)
    return (await session.scalars(statement)).all()


@app.get("/contacts/{contact_id}", response_model=ContactOut)
async def get_contact(contact_id: UUID, session: SessionDep, user: UserDep) -> Any:
    contact = await session.scalar(
        select(Contact).where(Contact.id == contact_id, Contact.organization_id == user.organization_id)
    )
    if contact is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return contact


@app.post("/contacts", response_model=ContactOut, status_code=201)
async def create_contact(data: ContactCreate, session: SessionDep, user: UserDep) -> Any:
    contact = Contact(**data.model_dump(), organization_id=user.organization_id, created_by=user.id)
    session.add(contact)
    await session.flush()
    log = {"organization_id": user.organization_id, "user_id": user.id, "action": "create", "entity_id": contact.id}
    session.add(AuditLog(**log, new_values=data.model_dump()))
    event = {"contact_id": str(contact.id)}
    session.add(Event(organization_id=user.organization_id, type="contact_created", payload=event))
    await session.commit()
    contact_created.delay(str(contact.id))
    return contact
