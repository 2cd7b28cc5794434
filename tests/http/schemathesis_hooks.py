"""Loaded by the Schemathesis run, not by pytest."""

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.generation.meta import TestPhase

from core.identity.breached import is_breached
from core.time_zones import TIME_ZONES

OTHER_ZONES = TIME_ZONES - {"UTC", "Europe/London", "Asia/Kathmandu", "America/Argentina/Buenos_Aires"}
OWN = ("custom", "columns", "options", "archived_options")
"""Where an organization's own fields stand."""
SESSION_ENDING = ("logout", "end_session")
"""They end a session: each request its own, or everything that is asked afterwards would be refused."""
SESSIONS = iter(json.loads(Path("sessions.json").read_text()))
"""Of somebody who does nothing else: an `Authorization`, and the id of the session that it is of."""
WRONG: dict[str, str] = {}
"""What was wrong in which way, and the operation that has been asked for it."""
NEW_OBJECTS = 50_000
"""Before a young collection of garbage: a run makes much that stays, and Python looks at it every 700."""

gc.freeze()
gc.set_threshold(NEW_OBJECTS)


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: dict[str, Any]) -> None:
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if case.operation.definition.raw["operationId"] in SESSION_ENDING:
        kwargs["auth"], session_id = _session_of_its_own()
        if is_positive and "session_id" in case.path_parameters:
            case.path_parameters["session_id"] = session_id
    if is_positive:
        _make_acceptable(case)


def _session_of_its_own() -> tuple[Callable[[Any], Any], str]:
    """What puts it on a request, and its id. Raises `StopIteration` when the test has opened too few."""
    authorization, session_id = next(SESSIONS)

    def sign(request: Any) -> Any:
        if "Authorization" in request.headers:  # a case may be without one
            request.headers["Authorization"] = authorization
        return request

    return sign, session_id


def _make_acceptable(case: Any) -> None:
    """A cursor is signed, so no generated one is valid, however well it fits the schema; wrong ones are still sent."""
    case.query.pop("cursor", None)
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex  # what the schema can't say: another one for each request
    for place in _with_own_fields(case):  # those made of the document's examples are not filtered below
        for name in OWN:
            place.pop(name, None)
        if str(place.get("sort", "")).endswith("relevance") and not place.get("q"):
            del place["sort"]  # only what is searched for has one


@schemathesis.hook
def filter_case(context: object, case: Any) -> bool:
    """What is not what it seems: an unknown field that is an empty list is no part of a form at all, so what goes over
    the wire is valid; and the like."""
    is_form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    is_strange = (is_form and [] in case.body.values()) or _holds_whole_float(case.body)
    untold = (_chooses_breached_password, _is_beyond_the_first_stage, _ends_before_it_begins, _speaks_of_own_fields)
    known = (_names_another_zone, _is_wrong_as_before, _has_another_cursor)
    return not (is_strange or any(is_so(case) for is_so in (*untold, *known)))


def _names_another_zone(case: Any) -> bool:
    """All zones are one closed set, of six hundred names; the coverage phase would ask each route for each of them."""
    return _is_covering(case) and not OTHER_ZONES.isdisjoint(_texts_in([case.query, case.body]))


def _has_another_cursor(case: Any) -> bool:
    """All that fit are taken out before the call, so what is left has been asked."""
    covered = _is_covering(case) and case.meta.generation.mode.is_positive
    return covered and case.meta.phase.data.parameter == "cursor"


def _is_covering(case: Any) -> bool:
    return case.meta is not None and case.meta.phase.name is TestPhase.COVERAGE


def _is_wrong_as_before(case: Any) -> bool:
    """The coverage phase asks every operation for all that can be wrong with what forty of them take in the same words
    (`limit`, an id in the path, one type of body), and one piece of code refuses it. Here each wrong value is asked of
    one operation. That every operation refuses every kind of it is tested in test_bad_parameters.py,
    test_bad_bodies.py and test_idempotency.py."""
    if not _is_covering(case):
        return False
    wrong = [place for place, part in case.meta.components.items() if part.mode.is_negative]
    if len(wrong) != 1:
        return False
    what, operation = case.meta.phase.data, case.operation.definition.raw
    told, sent = _told_and_sent(case, wrong[0].value, what.parameter)
    key = json.dumps([wrong[0].value, told, what.scenario, sent], default=repr, sort_keys=True)
    return WRONG.setdefault(key, operation["operationId"]) != operation["operationId"]


def _told_and_sent(case: Any, place: str, name: str | None) -> tuple[Any, Any]:
    """What the document says of what is wrong in a request, and what was made of that."""
    operation = case.operation.definition.raw
    if place == "body":
        return operation.get("requestBody"), [case.media_type, case.body]
    told = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == place}
    sent = {"query": case.query, "path": case.path_parameters, "header": case.headers}[place]
    if name is None:  # it is something that the operation knows nothing of
        return None, {given: value for given, value in sent.items() if given not in told}
    return told.get(name), sent.get(name)


def _texts_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            yield from _texts_in([*value.values()])
        case list():
            for each in value:
                yield from _texts_in(each)


def _speaks_of_own_fields(case: Any) -> bool:
    """Which fields an organization has of its own, and what they may hold, is for itself to say."""
    return any(place.get(name) for place in _with_own_fields(case) for name in OWN)


def _with_own_fields(case: Any) -> Iterator[dict[str, Any]]:
    if case.query:
        yield case.query
    if isinstance(case.body, dict):
        yield case.body
        if isinstance(filters := case.body.get("filters"), dict):
            yield filters


def _ends_before_it_begins(case: Any) -> bool:
    """No schema relates one parameter to another."""
    begins, ends = (str((case.query or {}).get(name) or "") for name in ("from", "to"))
    return bool(begins and begins > (ends or "2026"))


def _is_beyond_the_first_stage(case: Any) -> bool:
    """What a contact of a later stage needs is the organization's to say, and so in no schema."""
    return isinstance(case.body, dict) and case.body.get("contact_type", "target") != "target"


def _holds_whole_float(value: Any) -> bool:
    """JSON Schema calls 250.0 an integer. We don't: who sends it may have reckoned with rounded numbers."""
    match value:
        case float():
            return value.is_integer()
        case dict():
            return any(_holds_whole_float(each) for each in value.values())
        case list():
            return any(_holds_whole_float(each) for each in value)
        case _:
            return False


def _chooses_breached_password(case: Any) -> bool:
    """No schema tells which passwords are tried first."""
    body = case.body if isinstance(case.body, dict) else {}
    chosen = (body.get(name) for name in ("password", "new_password"))
    return any(isinstance(password, str) and is_breached(password) for password in chosen)
