"""Logs: JSON lines for machines, colours on a terminal, and a last sieve for what must never be logged.

The sieve is the second line of defence. The first is that nothing hands such values to a logger at all.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor, WrappedLogger

FORBIDDEN: Final = frozenset(
    {
        "api_key",
        "api_secret",
        "api_secrets",
        "sign",
        "data",
        "body",
        "query",
        "biz_extra_data",
        "images",
        "raw",
    }
)
"""Names whose values never reach a log line."""

Failure = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Set up structlog for this process; standard-library loggers (kombu, uvicorn) end in the same lines."""
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _naming(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _sieve,
        _failure,
    ]
    last: Processor = structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer(_json)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging([*shared, structlog.stdlib.ProcessorFormatter.remove_processors_meta, last], out, number)


def where(error: BaseException) -> str:
    """The place an exception was raised, as `file:line in function`: never its message, which may quote a person."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno} in {frames[-1].name}" if frames else "?"


def _json(event: EventDict, **_: Any) -> str:
    return to_json(event, fallback=repr).decode()


def _naming(service: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service, **event}

    return name


def _sieve(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in FORBIDDEN & event.keys():
        event[name] = "[removed]"
    return event


def _failure(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """An exception as its type and its place; the message stays out."""
    info: Any = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
    if info and error is not None:
        event["error"] = type(error).__name__
        event["where"] = where(error)
        event["event"] = str(event["event"]).partition("\n")[0]  # asyncio goes on with lines that quote the exception
    return event


def _adopt_standard_logging(processors: list[Processor], out: TextIO, level: int) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
