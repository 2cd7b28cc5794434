"""The correlation id: one name for all that a request causes, in every log line, problem and job."""

import re
from secrets import token_hex

HEADER = "x-correlation-id"
ID_BYTES = 16
ACCEPTED = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def correlation_id_from(header: str | None) -> str:
    """The caller's id where it is harmless, else a new one."""
    return header if header and ACCEPTED.match(header) else token_hex(ID_BYTES)
