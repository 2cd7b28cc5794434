"""Structured logs: one JSON object a line, so that no input can forge a second one, with secrets taken out."""

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, Literal, cast

import msgspec
import structlog

from core.observe.lines import Lines

SECRET_NAMES = re.compile(r"password|secret|token|authorization|cookie|api_?key|credential", re.IGNORECASE)
REDACTED = "[redacted]"
PLAIN = frozenset({str, int, float, bool, type(None)})
"""What holds no other value."""

type EventDict = MutableMapping[str, Any]


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Blank every value whose name says it is a secret, at any depth."""
    for name, value in event.items():
        if _is_secret(name) or type(value) not in PLAIN:
            return cast("EventDict", _without_secrets(event))
    return event


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAMES.search(name) is not None


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: REDACTED if _is_secret(str(name)) else _without_secrets(inner)
                for name, inner in cast("dict[Any, Any]", value).items()
            }
        case list() | tuple():
            return [_without_secrets(inner) for inner in cast("list[Any]", value)]
        case _:
            return value


def _to_json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class _Out:
    """All loggers share one way out."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def __call__(self, *_: Any) -> Lines:
        return self.lines


def flush_logs() -> None:
    """For the end of a process, however it ends."""
    out = structlog.get_config()["logger_factory"]
    if isinstance(out, _Out):
        out.lines.flush()


def configure_logs(*, style: Literal["json", "console"] = "json", level: str = "info") -> None:
    """Send structlog's and the standard library's records to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    if style == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = Lines(sys.stderr)
    structlog.configure(
        processors=[*shared[:2], *shared[3:], renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Out(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.INFO))
    for noisy in ("uvicorn.access", "httpx", "alembic.runtime.migration"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
