"""What a log line holds, and what it never does."""

import asyncio
import gc
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from shared.logs import FORBIDDEN, configure, where

PERSON = "Jane Doe, born 1990"  # stands for all that an exception's message may quote

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logging configured as in a process; the lines written since."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("ingress", "info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    raise ValueError(PERSON)


def test_a_line_is_one_json_object_with_service_level_and_time(lines: Lines) -> None:
    structlog.get_logger().info("stored", account="default", count=3)
    (line,) = lines()
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert line == {"service": "ingress", "event": "stored", "level": "info", "account": "default", "count": 3}


def test_what_is_below_the_level_is_not_written(lines: Lines) -> None:
    structlog.get_logger().debug("stored")
    assert lines() == []


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_forbidden_name_loses_its_value(name: str, lines: Lines) -> None:
    structlog.get_logger().info("posted", **{name: PERSON}, biz_id="1,a")
    (line,) = lines()
    assert line[name] == "[removed]"
    assert line["biz_id"] == "1,a"


@pytest.mark.parametrize("name", ["api_secret", "sign", "data", "biz_extra_data", "images"])
def test_what_may_never_be_logged_is_forbidden(name: str) -> None:
    assert name in FORBIDDEN


def test_an_exception_is_its_type_and_its_place(lines: Lines) -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert line["error"] == "ValueError"
    assert line["where"].startswith("test_logs.py:")
    assert line["where"].endswith(" in fail")
    assert PERSON not in json.dumps(line)


def test_an_exception_may_be_handed_over_from_elsewhere(lines: Lines) -> None:
    structlog.get_logger().error("failed", exc_info=KeyError(PERSON))
    (line,) = lines()
    assert (line["error"], line["where"]) == ("KeyError", "?")
    assert PERSON not in json.dumps(line)


def test_a_standard_logger_ends_in_the_same_form(lines: Lines) -> None:
    logging.getLogger("kombu.connection").warning("lost %d connections", 2)
    (line,) = lines()
    assert (line["service"], line["level"], line["event"]) == ("ingress", "warning", "lost 2 connections")


def test_an_exception_of_a_standard_logger_keeps_its_message_to_itself(lines: Lines) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("some.library").exception("Exception in ASGI application\n")
    (line,) = lines()
    assert (line["event"], line["error"]) == ("Exception in ASGI application", "ValueError")
    assert PERSON not in json.dumps(line)


def test_a_task_that_died_unseen_does_not_quote_its_exception(lines: Lines) -> None:
    async def die() -> None:
        fail()

    async def lose_a_task() -> None:
        task = asyncio.create_task(die())
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(lose_a_task())
    (line,) = lines()
    assert (line["event"], line["error"]) == ("Task exception was never retrieved", "ValueError")
    assert PERSON not in json.dumps(line)


def test_standard_loggers_that_chat_are_silent(lines: Lines) -> None:
    logging.getLogger("some.library").info("Started server process")
    assert lines() == []


def test_the_place_is_that_of_the_raise_and_not_of_the_catch() -> None:
    with pytest.raises(ValueError, match="Jane") as caught:
        fail()
    assert where(caught.value).endswith(" in fail")
