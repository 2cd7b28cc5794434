"""Loaded by the Schemathesis run, not by pytest."""

from typing import Any

import schemathesis

SOUND: dict[str, Any] = {
    "password": "no-list-of-breached-ones-has-this",
    "new_password": "no-list-of-breached-ones-has-this-either",
    "expires_at": "2999-01-01T00:00:00Z",
    "scopes": ["networking:read"],
}
"""A password must be in no list of breached ones, a key must not be over before it begins, and its scopes must be
permissions that there are."""


def _keep_rules_that_no_schema_tells(body: Any) -> None:
    if isinstance(body, dict):
        body |= {name: SOUND[name] for name in SOUND.keys() & body.keys() if body[name] is not None}


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """A cursor is signed, so no generated one is valid, however well it fits the schema; wrong ones are still sent."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.query.pop("cursor", None)
        _keep_rules_that_no_schema_tells(case.body)


@schemathesis.hook
def filter_case(context: object, case: Any) -> bool:
    """An unknown field that is an empty list is no part of a form at all, so what goes over the wire is valid."""
    is_form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return not (is_form and [] in case.body.values())
