"""Logs: one JSON object a line, with its correlation id, without secrets, and not to be forged."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from core.observe import logs
from core.observe.correlation import correlation_id_from
from core.observe.lines import HELD_SECONDS


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


async def test_what_informs_waits_for_company_and_what_warns_takes_it_along(lines: Any) -> None:
    log = structlog.get_logger()
    log.info("first")
    log.info("second")
    held = lines()

    log.warning("third")

    assert (held, [line["event"] for line in lines()]) == ([], ["first", "second", "third"])


async def test_what_informs_is_out_in_a_moment_without_any_more_of_it(lines: Any) -> None:
    structlog.get_logger().info("alone")

    await asyncio.sleep(HELD_SECONDS * 4)

    assert [line["event"] for line in lines()] == ["alone"]


def test_the_end_of_a_process_leaves_nothing_unsaid(lines: Any) -> None:
    async def begin() -> None:
        structlog.get_logger().info("the last")

    asyncio.run(begin())
    before = lines()
    logs.flush_logs()

    assert (before, [line["event"] for line in lines()]) == ([], ["the last"])
