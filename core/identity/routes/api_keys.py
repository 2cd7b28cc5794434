"""API keys: listed, made, replaced, revoked."""

from typing import Literal
from uuid import UUID

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires
from core.http.handlers import delete, get, post
from core.http.idempotency import NO_KEY
from core.http.responses import Limit, PageCursor, json_bytes
from core.identity.api_keys import API_KEYS, NewKey, create_api_key, revoke_api_key, rotate_api_key
from core.identity.credential_models import ApiKey
from core.identity.credential_schemas import ApiKeyIn, ApiKeyMade, ApiKeyOut, ApiKeyRotateIn
from core.identity.permissions import API_KEYS_READ, API_KEYS_WRITE
from core.tasks.context import Ctx


@get("/", operation_id="list_api_keys", summary="The organization's API keys", guards=[requires(API_KEYS_READ)])
async def list_api_keys(
    ctx: Ctx,
    sort: FromQuery[Literal["created_at", "-created_at", "name", "-name"]] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ApiKeyOut]]:
    return json_bytes(await ctx.page(API_KEYS, sort=sort, limit=limit, cursor=cursor))


@post(
    "/",
    operation_id="create_api_key",
    summary="Make an API key",
    guards=[requires(API_KEYS_WRITE)],
    opt={NO_KEY: True},
)
async def create(ctx: Ctx, data: JSONBody[ApiKeyIn]) -> ApiKeyMade:
    made = create_api_key(ctx, name=data.name, scopes=data.scopes, expires_at=data.expires_at)
    await ctx.db.flush()
    return _made_out(made)


@post(
    "/{key_id:uuid}/rotate",
    operation_id="rotate_api_key",
    summary="Make a key's successor; the old one works for a while",
    guards=[requires(API_KEYS_WRITE)],
    opt={NO_KEY: True},
)
async def rotate(ctx: Ctx, key_id: FromPath[UUID], data: JSONBody[ApiKeyRotateIn]) -> ApiKeyMade:
    return _made_out(await rotate_api_key(ctx, key_id, old_works_until=data.old_works_until))


@delete("/{key_id:uuid}", operation_id="revoke_api_key", summary="Revoke an API key", guards=[requires(API_KEYS_WRITE)])
async def revoke(ctx: Ctx, key_id: FromPath[UUID]) -> None:
    await revoke_api_key(ctx, key_id)


def _made_out(made: NewKey) -> ApiKeyMade:
    return ApiKeyMade(api_key=_out(made.row), key=made.key)


def _out(key: ApiKey) -> ApiKeyOut:
    return ApiKeyOut(
        id=key.id,
        user_id=key.user_id,
        name=key.name,
        hint=key.hint,
        scopes=key.scopes,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        created_at=key.created_at,
        version=key.version,
    )


API_KEY_ROUTES = (list_api_keys, create, rotate, revoke)
