"""The correlation id: one name for all that a request causes, in every log line, problem and job."""

import re
from uuid import uuid4

HEADER = "x-correlation-id"
ACCEPTED = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def correlation_id_from(header: str | None) -> str:
    """The caller's id where it is harmless, else a new one."""
    return header if header and ACCEPTED.match(header) else uuid4().hex
