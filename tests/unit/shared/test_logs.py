"""Log lines: their fields, and the values that are never logged."""

import asyncio
import gc
import io
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import structlog

from shared.logs import FORBIDDEN, configure, raised_at

PERSON = "Jane Doe, born 1990"  # personal data, as an exception's message may quote it

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Configure logging as a process does. Returns the lines written since then."""
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


def test_a_line_is_a_json_object_with_service_worker_pid_level_and_time(lines: Lines) -> None:
    structlog.get_logger().info("stored", account="default", count=3)
    (line,) = lines()
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    process = {"service": "ingress", "worker": f"ingress@{socket.gethostname()}", "pid": os.getpid()}
    assert line == process | {"event": "stored", "level": "info", "account": "default", "count": 3}


def test_a_line_below_the_level_is_not_written(lines: Lines) -> None:
    structlog.get_logger().debug("stored")
    assert lines() == []


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_the_value_of_a_forbidden_field_is_removed(name: str, lines: Lines) -> None:
    structlog.get_logger().info("posted", **{name: PERSON}, biz_id="1,a")
    (line,) = lines()
    assert line[name] == "[removed]"
    assert line["biz_id"] == "1,a"


@pytest.mark.parametrize("name", ["api_secret", "sign", "data", "biz_extra_data", "images"])
def test_fields_with_secrets_or_personal_data_are_forbidden(name: str) -> None:
    assert name in FORBIDDEN


def test_an_exception_is_logged_as_its_type_and_place(lines: Lines) -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert line["error"] == "ValueError"
    assert line["where"].startswith("test_logs.py:")
    assert line["where"].endswith(" in fail")
    assert PERSON not in json.dumps(line)


def test_an_exception_may_be_passed_as_exc_info(lines: Lines) -> None:
    structlog.get_logger().error("failed", exc_info=KeyError(PERSON))
    (line,) = lines()
    assert (line["error"], line["where"]) == ("KeyError", "?")
    assert PERSON not in json.dumps(line)


def test_a_standard_logger_writes_the_same_fields(lines: Lines) -> None:
    logging.getLogger("kombu.connection").warning("lost %d connections", 2)
    (line,) = lines()
    assert (line["service"], line["pid"]) == ("ingress", os.getpid())
    assert (line["level"], line["event"]) == ("warning", "lost 2 connections")


def test_an_exception_of_a_standard_logger_is_logged_without_its_message(lines: Lines) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("some.library").exception("Exception in ASGI application\n")
    (line,) = lines()
    assert (line["event"], line["error"]) == ("Exception in ASGI application", "ValueError")
    assert PERSON not in json.dumps(line)


def test_an_asyncio_task_that_failed_is_logged_without_its_exceptions_message(lines: Lines) -> None:
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


@pytest.mark.parametrize("error", [OSError(28, "ENOSPC"), BrokenPipeError(), BlockingIOError(), ValueError("closed")])
def test_a_line_that_cannot_be_written_raises_nothing_and_is_counted(error: Exception) -> None:
    stream = io.StringIO()
    configure("worker", "info", stream)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "write", Mock(side_effect=error))
        structlog.get_logger().info("attempt.settled", biz_id="1,a")
        logging.getLogger("some.library").warning("lost")
    structlog.get_logger().info("attempt.settled", biz_id="1,b")
    structlog.get_logger().info("attempt.settled", biz_id="1,c")
    first, second = (json.loads(line) for line in stream.getvalue().split("\n") if line)
    assert (first["biz_id"], first["lost_lines"]) == ("1,b", 2)
    assert (second["biz_id"], "lost_lines" in second) == ("1,c", False)


@pytest.mark.parametrize("device", ["closed pipe", "full pipe", "full disk"])
def test_a_log_on_a_real_stream_that_fails_raises_nothing(device: str) -> None:
    reader, writer = os.pipe()
    if device == "closed pipe":
        os.close(reader)
    if device == "full pipe":
        os.set_blocking(writer, False)
    if device == "full disk":
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer)
    out = os.fdopen(writer, "w")
    configure("worker", "info", out)
    for number in range(2000):
        structlog.get_logger().info("attempt.settled", number=number)
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that it can be closed


def test_a_value_that_is_no_unicode_is_logged_as_an_escape(lines: Lines) -> None:
    structlog.get_logger().info("attempt.settled", biz_id="\ud800")
    assert lines()[0]["biz_id"] == "\ud800"


def test_standard_loggers_log_no_information_lines(lines: Lines) -> None:
    logging.getLogger("some.library").info("Started server process")
    assert lines() == []


def test_raised_at_is_the_place_of_the_raise() -> None:
    with pytest.raises(ValueError, match="Jane") as caught:
        fail()
    assert raised_at(caught.value).endswith(" in fail")
