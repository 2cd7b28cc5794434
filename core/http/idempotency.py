"""Idempotency keys: a request that is sent again has its effect once, and gets the first answer again.

    POST /api/v1/networking/contacts
    Idempotency-Key: 018f2c…

The answer is kept in the transaction of the effect, so that there are both or neither. Whoever comes while the first
is still under way is told so (409) and does not wait. A failure keeps nothing: its transaction was rolled back, and
the same key may try again. See docs/decisions/0014.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar import Request, Response
from litestar.datastructures import UploadFile
from litestar.handlers import BaseRouteHandler
from msgspec import Struct
from sqlalchemy import func, insert, select, text

from core.errors import Conflict, Invalid, Malformed
from core.http.idempotency_models import IdempotencyKey
from core.principal import Principal
from core.tasks.context import Ctx
from core.tasks.schedule import Sweep

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
PATTERN = r"^[!-~]{1,255}$(?!\n)"
_KEY = re.compile(PATTERN)
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
KEPT = "24 hours"
"""At least; what is older goes with the next sweep."""
KEPT_HEADERS = frozenset({b"content-type", b"location", b"etag", b"content-disposition", b"last-modified"})
"""Of an answer; all others belong to the one time that it was sent."""
ANSWER_BYTES = 1_048_576
"""A longer answer is not kept."""
CLAIM = "idempotency_claim"
NO_KEY = "no_idempotency_key"
"""In a handler's `opt`: its answer is a credential, which is not kept, not even sealed."""
FORM = "multipart/form-data"
CHUNK = 65_536
NONCE_BYTES = 12

FORGOTTEN_KEYS = Sweep(IdempotencyKey, IdempotencyKey.created_at < func.now() - text(f"interval '{KEPT}'"))


class KeyInProgress(Conflict):
    code = "idempotency-key-in-progress"
    title = "The first request with this key is still under way"
    retry_after = 1


class KeyReused(Invalid):
    code = "idempotency-key-reused"
    title = "The key was used for another request"


class AnswerNotKept(Conflict):
    """It must not happen again, and what came of it can't be said again."""

    code = "idempotency-answer-not-kept"
    title = "The first request with this key succeeded, but its answer was not kept"


class KeptAnswer(Struct, frozen=True, array_like=True):
    status: int
    headers: dict[str, str]
    body: bytes

    def as_response(self) -> Response[bytes | None]:
        headers = {**self.headers, REPLAYED: "true"}
        return Response(self.body or None, status_code=self.status, headers=headers)


class Claim(Struct, frozen=True, kw_only=True):
    """One request's right to have its effect under a key. It ends with the transaction."""

    row_id: UUID
    fingerprint: bytes
    seal: bytes
    """The key that the answer is sealed with, which nobody has who doesn't know the client's."""

    async def keep(self, ctx: Ctx, answer: KeptAnswer | None) -> None:
        """Write the answer in the transaction of the effect; None for one that is too long."""
        sealed = None if answer is None else _seal(msgspec.msgpack.encode(answer), self)
        values = {"organization_id": ctx.organization_id, "id": self.row_id, "fingerprint": self.fingerprint}
        await ctx.db.execute(insert(IdempotencyKey).values(**values, answer=sealed))


def takes_key(handler: BaseRouteHandler, method: str) -> bool:
    """Whether keys mean something here: where somebody is signed in, whose they are, and the answer may be kept."""
    return method in MUTATING and not handler.opt.get("public") and not handler.opt.get(NO_KEY)


class IdempotencyKeys:
    def __init__(self, secret: str) -> None:
        self._secret = hashlib.blake2b(b"idempotency", key=hashlib.sha256(secret.encode()).digest()).digest()

    async def claim(self, request: Request[Any, Any, Any], ctx: Ctx | None) -> Response[bytes | None] | None:
        """The first answer to a request that is sent again; None where it may go on.

        Called before each handler of a method that changes something, and after the guards, so that nobody is told
        again what they may no longer see.
        Raises `KeyInProgress`, `KeyReused`, `AnswerNotKept`, and `Malformed` where there can be no such key.
        """
        if (key := _key_of(request)) is None:
            return None
        if not takes_key(request.route_handler, request.method):
            raise Malformed(f"This operation takes no {HEADER}", code="idempotency-key-unsupported")
        if ctx is None:  # the handler refuses whoever is not signed in
            return None
        scope = (ctx.organization_id.bytes, _subject(ctx.principal), request.method, request.scope["path"], key)
        name = self._hash("name", *scope)
        claim = Claim(
            row_id=UUID(bytes=name[:16]),
            fingerprint=await self._fingerprint(request),
            seal=self._hash("seal", *scope),
        )
        # A statement of its own: the look-up has to see what whoever held the lock has committed.
        if not await ctx.db.scalar(select(func.pg_try_advisory_xact_lock(int.from_bytes(name[16:24], signed=True)))):
            raise KeyInProgress
        if (replay := await _find(ctx, claim)) is not None:
            return replay.as_response()
        request.scope["state"][CLAIM] = claim
        return None

    async def _fingerprint(self, request: Request[Any, Any, Any]) -> bytes:
        """A form is taken by its fields, for its boundary is another one each time; all else by its bytes."""
        parts: list[bytes | str] = [request.scope["query_string"], request.headers.get("if-match", "")]
        if "data" in request.route_handler.parsed_fn_signature.parameters:
            is_form = request.content_type[0] == FORM
            parts += [request.content_type[0], *(await _fields(request) if is_form else [await request.body()])]
        return self._hash("sent", *parts)

    def _hash(self, purpose: str, *parts: bytes | str) -> bytes:
        """32 bytes, of all parts and where each ends."""
        digest = hashlib.blake2b(key=self._secret, person=purpose.encode(), digest_size=32)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            digest.update(len(raw).to_bytes(8))
            digest.update(raw)
        return digest.digest()


def kept_answer(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> KeptAnswer:
    kept: Mapping[str, str] = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name.lower() in KEPT_HEADERS
    }
    return KeptAnswer(status=status, headers=dict(kept), body=body)


async def _find(ctx: Ctx, claim: Claim) -> KeptAnswer | None:
    wanted = (IdempotencyKey.organization_id == ctx.organization_id, IdempotencyKey.id == claim.row_id)
    found = (await ctx.db.execute(select(IdempotencyKey.fingerprint, IdempotencyKey.answer).where(*wanted))).first()
    if found is None:
        return None
    if found.fingerprint != claim.fingerprint:
        raise KeyReused
    opened = None if found.answer is None else _unseal(found.answer, claim)
    if opened is None:
        raise AnswerNotKept
    return msgspec.msgpack.decode(opened, type=KeptAnswer)


def _seal(plain: bytes, claim: Claim) -> bytes:
    nonce = hashlib.blake2b(plain, key=claim.seal, digest_size=NONCE_BYTES).digest()
    return nonce + AESGCM(claim.seal).encrypt(nonce, plain, claim.row_id.bytes)


def _unseal(sealed: bytes, claim: Claim) -> bytes | None:
    try:
        return AESGCM(claim.seal).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], claim.row_id.bytes)
    except InvalidTag:
        return None


def _key_of(request: Request[Any, Any, Any]) -> str | None:
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    if len(given) > 1 or not _KEY.match(given[0]):
        raise Malformed(f"{HEADER} has to be 1 to 255 visible ASCII characters", code="idempotency-key-malformed")
    return given[0]


def _subject(principal: Principal) -> str:
    return f"{principal.kind}:{principal.api_key_id or principal.user_id}"


async def _fields(request: Request[Any, Any, Any]) -> list[bytes | str]:
    parts: list[bytes | str] = []
    for name, value in (await request.form()).multi_items():
        if isinstance(value, UploadFile):
            parts += [name, value.filename, value.content_type, await _hash_of(value)]
        else:
            parts += [name, str(value)]
    return parts


async def _hash_of(file: UploadFile) -> bytes:
    digest = hashlib.blake2b()
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
    await file.seek(0)
    return digest.digest()
