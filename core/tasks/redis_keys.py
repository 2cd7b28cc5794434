"""Names of what is in Redis. There is no other way to make one, and each says whose it is: a tenant's or nobody's."""

import re
from uuid import UUID

PART = re.compile(r"[A-Za-z0-9_.-]{1,80}")


class RedisKeys:
    """`namespace` keeps deployments apart that share a server."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def of_tenant(self, organization_id: UUID, *parts: object) -> str:
        return self._joined("tenant", UUID(bytes=organization_id.bytes), *parts)

    def of_platform(self, *parts: object) -> str:
        """What no tenant is behind: signals between processes, people who are not signed in."""
        return self._joined("platform", *parts)

    def _joined(self, *parts: object) -> str:
        texts = [str(part) for part in parts]
        if not all(PART.fullmatch(text) for text in texts):
            raise ValueError("a part of a Redis key is made of letters, digits and _ . -")
        return ":".join([self._namespace, *texts])
