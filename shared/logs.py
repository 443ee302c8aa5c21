"""Logging: JSON lines, or colours on a terminal. A last filter removes values that must never be logged.

The filter is the second line of defence: the code must not pass such values to a logger at all.
"""

import json
import logging
import os
import socket
import sys
import traceback
from typing import Any, Final, TextIO, cast

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
"""Fields whose values are replaced by `[removed]`: they may hold secrets or personal data."""


def configure(service: str, level: str = "info", stream: TextIO | None = None, name: str = "") -> None:
    """Configure structlog and the standard loggers (kombu, uvicorn) of this process.

    Every line gets the fields `service`, `worker` (`NAME@HOST`, as Celery names its workers) and `pid`.

    Args:
        service: `ingress`, `worker` or `simulator`.
        level: `debug`, `info`, `warning` or `error`.
        stream: Standard error by default.
        name: Tells several processes of a service on one host apart. The service by default.
    """
    out = LossyStream(stream or sys.stderr)
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_process(service, process_name(name or service)),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        _format_exception,
        out.add_lost,
    ]
    renderer: Processor = structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer(_json)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=True,
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    _configure_standard_logging([*processors, remove_meta, renderer], out, number)


def raised_at(error: BaseException) -> str:
    """Where an exception was raised: `file:line in function`, or `?`. Without its message, which may quote a person."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno} in {frames[-1].name}" if frames else "?"


class LossyStream:
    """A stream for log lines that raises nothing: a line that can't be written is lost.

    A full disk, a closed pipe or a full one must not stop the work that a line is about.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        """Lines lost since the last one that could be written."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def write(self, text: str) -> None:
        """Write a line, or count it as lost."""
        try:
            if self.lost:
                self._stream.write("\n")  # the last one may have been cut
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed, or can't encode a character
            self.lost += 1
        else:
            self.lost = 0

    def flush(self) -> None:
        """Do nothing: each line is flushed when it is written."""

    def add_lost(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Have the line say how many lines before it were lost."""
        if self.lost:
            event["lost_lines"] = self.lost
        return event


def _json(event: EventDict, **_: Any) -> str:
    try:
        return to_json(event, fallback=repr).decode()
    except ValueError:  # a lone surrogate, which UTF-8 can't encode: the stdlib writes it as an escape
        return json.dumps(event, default=repr)


def process_name(name: str) -> str:
    """The name of a process over all hosts: `NAME@HOST`."""
    return f"{name}@{socket.gethostname()}"


def _add_process(service: str, worker: str) -> Processor:
    def add_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service, "worker": worker, "pid": os.getpid(), **event}  # a fork changes the pid

    return add_process


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name in FORBIDDEN & event.keys():
        event[name] = "[removed]"
    return event


def _format_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and the place where it was raised. Its message is left out."""
    info: Any = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
    if info and error is not None:
        event["error"] = type(error).__name__
        event["where"] = raised_at(error)
        event["event"] = str(event["event"]).partition("\n")[0]  # asyncio adds lines that quote the exception
    return event


def _configure_standard_logging(processors: list[Processor], out: LossyStream, level: int) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
