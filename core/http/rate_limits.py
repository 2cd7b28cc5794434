"""Rate limits: by organization, by subject and by address, for each class of routes apart.

A route's class is `read` or `write` by its method, `sign-in` where nobody is signed in yet; `opt=limited("expensive")`
says otherwise. Every answer of a limited route carries `RateLimit-Policy` and `RateLimit` (the IETF's draft 10); a
request too many gets a 429 that says when to come back.
"""

import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from core.errors import TooManyRequests
from core.http.addresses import address_of, network_of
from core.http.gcra import Limiter, Quota, Standing, retry_after, tightest
from core.http.layers import Layer
from core.http.methods import SAFE
from core.principal import Principal, PrincipalKind
from core.tasks.redis_keys import RedisKeys

RATE = "rate"
"""In a handler's `opt`: its class, or None for what has to answer at any rate, as health checks do."""
KEYS_KEPT = 4096
"""Of those who asked last: who asks again is known by a look."""

type Quotas = Mapping[str, Quota]
"""By what is counted: `subject`, `organization`, `address`."""
type Counted = list[tuple[str, Quota]]
"""Quotas with the keys that a request counts under."""


class RouteClass(StrEnum):
    READ = "read"
    WRITE = "write"
    EXPENSIVE = "expensive"
    SIGN_IN = "sign-in"


def limited(name: RouteClass | str) -> dict[str, Any]:
    """`opt=limited("expensive")`: the class of a route. Raises `ValueError` for a class that there isn't."""
    return {RATE: RouteClass(name)}


def class_of(handler: BaseRouteHandler, method: str) -> RouteClass | None:
    """None where it is not limited."""
    if RATE in handler.opt:
        return handler.opt[RATE]
    if method in SAFE:
        return RouteClass.READ
    return RouteClass.SIGN_IN if handler.opt.get("public") else RouteClass.WRITE


def parse_quotas(route_class: str, rate: str) -> dict[str, Quota]:
    """`subject=600/60 organization=6000/60` as quotas with names of their own; none for `off`."""
    quotas: dict[str, Quota] = {}
    for part in rate.split() if rate != "off" else ():
        who, _, amount = part.partition("=")
        limit, _, seconds = amount.partition("/")
        quotas[who] = Quota(name=f"{route_class}-{who}", limit=int(limit), seconds=int(seconds))
    return quotas


class RateLimits:
    """Which quotas a request counts against. Made once a process."""

    def __init__(self, limiter: Limiter, keys: RedisKeys, rates: Mapping[str, str]) -> None:
        self._limiter = limiter
        self._keys = keys
        self._quotas: dict[str, Quotas] = {name: parse_quotas(name, rate) for name, rate in rates.items()}
        self._address_key = lru_cache(maxsize=KEYS_KEPT)(self._make_address_key)
        self._principal_keys = lru_cache(maxsize=KEYS_KEPT)(self._make_principal_keys)

    def refuse_flood(self, scope: Scope, route_class: RouteClass) -> Counted:
        """Before anything is looked up: turn away an address of which it is known that it has to wait. What the
        request counts against for its address is handed back, for `admit`."""
        counted = self._of_address(scope, route_class)
        if counted and (refused := self._limiter.refusal(counted)) is not None:
            self._weigh(scope, [refused])
        return counted

    async def admit(self, scope: Scope, route_class: RouteClass, counted: Counted, principal: Principal | None) -> None:
        """Count the request. Raises `TooManyRequests`; what it found is told in the answer's headers."""
        if principal is not None:
            counted = counted + self._of_principal(principal, route_class)
        if counted:
            self._weigh(scope, await self._limiter.take(counted))

    def _weigh(self, scope: Scope, standings: Sequence[Standing]) -> None:
        if not standings:
            return
        scope["state"][RATE] = standings
        if refused := [standing for standing in standings if standing.wait]:
            raise TooManyRequests(code="rate-limited", retry_after=retry_after(tightest(refused)))

    def _of_address(self, scope: Scope, route_class: RouteClass) -> Counted:
        if (quota := self._quotas[route_class].get("address")) is None:
            return []
        return [(self._address_key(route_class, address_of(scope)), quota)]

    def _of_principal(self, principal: Principal, route_class: RouteClass) -> Counted:
        quotas = self._quotas[route_class]
        subject = (principal.kind, principal.api_key_id or principal.user_id)
        keys = self._principal_keys(route_class, principal.organization_id, subject)
        return [(key, quotas[who]) for who, key in keys if who in quotas]

    def _make_address_key(self, route_class: RouteClass, address: str | None) -> str:
        place = hashlib.blake2b(network_of(address).encode(), digest_size=16).hexdigest()
        return self._keys.of_platform(RATE, route_class, "address", place)

    def _make_principal_keys(
        self, route_class: RouteClass, organization_id: UUID, subject: tuple[PrincipalKind, UUID | None]
    ) -> list[tuple[str, str]]:
        named = {"subject": ("subject", *subject), "organization": ("organization",)}
        return [(who, self._keys.of_tenant(organization_id, RATE, route_class, *parts)) for who, parts in named.items()]


class RateLimitHeaders(Layer):
    """Says in each answer how its client stands."""

    def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> Awaitable[None]:
        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start" and (standings := scope["state"].get(RATE)):
                message["headers"] = [*message["headers"], *_headers(standings)]
            await send(message)

        return next_app(scope, receive, send_with_standing)


def _headers(standings: Sequence[Standing]) -> list[tuple[bytes, bytes]]:
    """Every policy, and the standing with the one that ends first."""
    policies = ", ".join([standing.quota.policy for standing in standings])
    worst = tightest(standings)
    standing = f'"{worst.quota.name}";r={worst.remaining};t={max(0, round(worst.reset))}'
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", standing.encode())]
