"""Loaded by the Schemathesis run, not by pytest."""

from typing import Any
from uuid import uuid4

import schemathesis

from core.identity.breached import is_breached


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """A cursor is signed, so no generated one is valid, however well it fits the schema; wrong ones are still sent."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.query.pop("cursor", None)
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = uuid4().hex  # what the schema can't say: another one for each request


@schemathesis.hook
def filter_case(context: object, case: Any) -> bool:
    """An unknown field that is an empty list is no part of a form at all, so what goes over the wire is valid."""
    is_form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return not (is_form and [] in case.body.values()) and not _chooses_breached_password(case)


def _chooses_breached_password(case: Any) -> bool:
    """No schema tells which passwords are tried first."""
    body = case.body if isinstance(case.body, dict) else {}
    chosen = (body.get(name) for name in ("password", "new_password"))
    return any(isinstance(password, str) and is_breached(password) for password in chosen)
