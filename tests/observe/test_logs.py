"""Logs: one JSON object a line, with its correlation id, without secrets, and not to be forged."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from core.observe import logs
from core.observe.correlation import correlation_id_from


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What is logged in this test, parsed."""
    stream = io.StringIO()
    monkeypatch.setattr(logs.sys, "stderr", stream)
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    logs.configure_logs(style="json", level="debug")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers, root.level = before


def test_a_line_break_in_a_value_forges_no_line(lines: Any) -> None:
    structlog.get_logger().info("request", path='/x\n{"event": "forged"}')

    (line,) = lines()
    assert line["event"] == "request"


@pytest.mark.parametrize("name", ["password", "access_token", "Authorization", "api_key", "secret_key", "set-cookie"])
def test_secrets_are_taken_out_by_name_at_any_depth(lines: Any, name: str) -> None:
    structlog.get_logger().info("x", **{name: "canary"}, nested={"inner": {name: "canary"}}, listed=[{name: "canary"}])

    assert "canary" not in json.dumps(lines())


def test_the_standard_librarys_records_look_the_same(lines: Any) -> None:
    structlog.contextvars.bind_contextvars(correlation_id="abc")
    logging.getLogger("some.library").warning("careful: %s", "value")
    structlog.contextvars.clear_contextvars()

    (line,) = lines()
    assert (line["event"], line["level"], line["correlation_id"]) == ("careful: value", "warning", "abc")


def test_an_exception_is_one_line(lines: Any) -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines()
    assert "ValueError: inside" in line["exception"]


@pytest.mark.parametrize("header", [None, "", "a b", "x" * 65, "line\nbreak", "é", "<script>"])
def test_a_harmful_correlation_id_is_replaced(header: str | None) -> None:
    assert correlation_id_from(header) != header


def test_a_callers_correlation_id_is_kept() -> None:
    assert correlation_id_from("order-17.retry_2") == "order-17.retry_2"
