"""Access tokens: only those that we signed, as access tokens, for us, and that have not ended."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.identity.service import Identity
from core.identity.signing_keys import Signer
from core.settings import Settings
from core.testing.tenants import Tenant

ME = "/api/v1/users/me"
OURS = {"typ": "at+jwt"}


async def status_with(client: httpx.AsyncClient, token: str) -> int:
    answer = await client.get(ME, headers={b"authorization": b"Bearer " + token.encode()})
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code


def token_of(tenant: Tenant) -> str:
    return tenant.client.headers["authorization"].removeprefix("Bearer ")


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


async def signer_of(tenant: Tenant) -> Signer:
    identity: Identity = tenant.application.litestar.state.identity
    return await identity.signing_keys.signer()


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


async def test_a_token_says_what_it_is_and_who_may_take_it(acme: Tenant) -> None:
    header, claims = jwt.get_unverified_header(token_of(acme)), claims_of(token_of(acme))

    assert (header["alg"], header["typ"], header["kid"]) == ("EdDSA", "at+jwt", (await signer_of(acme)).kid)
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("the-plugs", "the-plugs-api", str(acme.user_id))
    assert claims["exp"] - claims["iat"] == 900


async def test_a_token_signed_with_our_key_passes(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    """Without this, the refusals below would prove nothing."""
    signer = await signer_of(acme)
    same = jwt.encode(claims_of(token_of(acme)), signer.key, algorithm="EdDSA", headers={**OURS, "kid": signer.kid})

    assert await status_with(anonymous, same) == 200


@pytest.mark.parametrize(
    ("changes", "typ"),
    [
        ({"aud": "another-api"}, "at+jwt"),
        ({"iss": "another-issuer"}, "at+jwt"),
        ({"exp": 1}, "at+jwt"),
        ({"exp": None}, "at+jwt"),
        ({"sid": "no-uuid"}, "at+jwt"),
        ({}, "JWT"),
        ({}, "refresh+jwt"),
    ],
)
async def test_type_audience_issuer_and_expiry_are_checked(
    acme: Tenant, anonymous: httpx.AsyncClient, changes: dict[str, Any], typ: str
) -> None:
    signer = await signer_of(acme)
    claims = {k: v for k, v in {**claims_of(token_of(acme)), **changes}.items() if v is not None}
    token = jwt.encode(claims, signer.key, algorithm="EdDSA", headers={"typ": typ, "kid": signer.kid})

    assert await status_with(anonymous, token) == 401


async def test_the_algorithm_is_not_the_tokens_to_choose(
    acme: Tenant, anonymous: httpx.AsyncClient, settings: Settings
) -> None:
    signer, good = await signer_of(acme), token_of(acme)
    claims, headers = claims_of(good), {**OURS, "kid": signer.kid}
    payload = good.split(".")[1]
    public = signer.key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = {
        "none": f"{encoded({'alg': 'none', **headers})}.{payload}.",
        "none, in other letters": f"{encoded({'alg': 'nOnE', **headers})}.{payload}.",
        "no algorithm": f"{encoded(headers)}.{payload}.",
        "HS256 with the secret": jwt.encode(claims, settings.secret_key, algorithm="HS256", headers=headers),
        "HS256 with the raw public key": jwt.encode(
            claims, public.public_bytes_raw(), algorithm="HS256", headers=headers
        ),
        "HS256 with the PEM of the public key": hs256(claims, pem, headers),
    }

    for what, token in forged.items():
        assert await status_with(anonymous, token) == 401, what


def hs256(claims: dict[str, Any], key: bytes, headers: dict[str, Any]) -> str:
    """PyJWT refuses to sign so; an attacker does not."""
    signed = f"{encoded({'alg': 'HS256', **headers})}.{encoded(claims)}"
    mac = hmac.digest(key, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


type Headers = Callable[[str, Ed25519PrivateKey], dict[str, Any]]


def jwk_of(key: Ed25519PrivateKey, kid: str) -> dict[str, str]:
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid}


@pytest.mark.parametrize(
    "headers",
    [
        lambda kid, key: {"kid": kid, "jwk": jwk_of(key, kid)},
        lambda kid, key: {"kid": kid, "jku": "https://attacker.example/jwks.json"},
        lambda kid, key: {"kid": kid, "x5u": "https://attacker.example/certificate.pem"},
        lambda kid, key: {"kid": kid, "x5c": ["MIIB"]},
        lambda kid, key: {"kid": kid},
        lambda kid, key: {"kid": str(uuid4())},
        lambda kid, key: {"kid": "../../../dev/null"},
        lambda kid, key: {"kid": "' OR 1=1 --"},
        lambda kid, key: {},
    ],
    ids=["jwk", "jku", "x5u", "x5c", "our-kid", "unknown-kid", "path", "sql", "no-kid"],
)
async def test_no_key_is_taken_from_a_token(acme: Tenant, anonymous: httpx.AsyncClient, headers: Headers) -> None:
    mine, kid = Ed25519PrivateKey.generate(), (await signer_of(acme)).kid
    token = jwt.encode(claims_of(token_of(acme)), mine, algorithm="EdDSA", headers={**OURS, **headers(kid, mine)})

    assert await status_with(anonymous, token) == 401


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "crit"])
async def test_even_a_token_of_ours_may_not_name_a_key(acme: Tenant, anonymous: httpx.AsyncClient, header: str) -> None:
    signer = await signer_of(acme)
    named = {**OURS, "kid": signer.kid, header: ["exp"] if header == "crit" else "https://attacker.example"}
    token = jwt.encode(claims_of(token_of(acme)), signer.key, algorithm="EdDSA", headers=named)

    assert await status_with(anonymous, token) == 401


async def test_a_token_that_was_tampered_with_is_refused(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    good = token_of(acme)
    header, _, signature = good.split(".")
    assert await status_with(anonymous, good) == 200  # and so it is among the tokens that are known to be right
    tampered = {
        "another's claims": f"{header}.{encoded({**claims_of(good), 'sub': str(uuid4())})}.{signature}",
        "cut short": good[:-4],
        "longer": good + "AAAA",
        "not a token": "a.b.c",
        "empty": "",
        "not ASCII": "tökén",
    }

    for what, token in tampered.items():
        assert await status_with(anonymous, token) == 401, what


async def test_an_access_token_ends(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    """Though it was seen before, and its signature is not checked again."""
    signer = await signer_of(acme)
    claims = {**claims_of(token_of(acme)), "exp": int(time.time()) + 1}
    token = jwt.encode(claims, signer.key, algorithm="EdDSA", headers={**OURS, "kid": signer.kid})
    identity: Identity = acme.application.litestar.state.identity
    assert (await identity.authenticate(token)).user_id == acme.user_id

    with time_machine.travel(time.time() + 2, tick=True):
        assert await status_with(anonymous, token) == 401
