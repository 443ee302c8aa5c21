"""The whole pipeline for a test, with time-outs that a busy machine does not exceed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from deploy.local.redis_server import RedisServer
from deploy.local.stack import Stack

PATIENT: Final = {
    "FACEID_STORE_TIMEOUT_SECONDS": "30",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "60",
    "FACEID_SIMULATOR_NOTIFY_TIMEOUT_SECONDS": "60",
}
"""A test that needs a short time-out sets it itself."""


def new_stack(folder: Path, *, settings: Mapping[str, str] | None = None, **options: Any) -> Stack:
    """A stack that is not started. `options` are those of `Stack`."""
    return Stack(folder, settings=PATIENT | dict(settings or {}), **options)


@contextmanager
def limited_redis(folder: Path, maxmemory: int) -> Iterator[str]:
    """The URL of a Redis that has this limit, in bytes, from its start: no process ever measures it without one."""
    server = RedisServer(folder, extra=("--maxmemory", str(maxmemory)))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
