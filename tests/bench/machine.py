"""Describe the machine of a measurement."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import sleep
from typing import Any, Final

from deploy.local.redis_server import find_program
from tests.bench.cores import CAN_PIN
from tests.bench.peer import peers

PACKAGES: Final = (
    *("redis", "hiredis", "kombu", "pydantic", "jiter", "uvicorn", "httptools", "uvloop", "pyreqwest", "httpx"),
    *("aiohttp", "celery", "dramatiq", "rq", "taskiq", "taskiq-redis", "faststream", "fastapi", "flask", "gunicorn"),
)


def described() -> dict[str, Any]:
    """The machine and the versions, as they are now."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "pinned": CAN_PIN,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": _server(),
        "commit": _commit(),
        "versions": _versions(),
    }


def busy() -> float:
    """The share of all cores, 0 to 1, that other processes use during two seconds."""
    before = _ticks()
    sleep(2)
    idle, every = (after - earlier for after, earlier in zip(_ticks(), before, strict=True))
    return 1 - idle / every


def _ticks() -> tuple[int, int]:
    """Clock ticks of all cores since the start: idle ones, and all."""
    counts = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return counts[3] + counts[4], sum(counts)


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
    return names[0] if names else platform.processor()


def _server() -> str:
    words = subprocess.run([find_program(), "--version"], capture_output=True, text=True, check=True).stdout.split()
    return " ".join([words[0], *(word.removeprefix("v=") for word in words if word.startswith("v="))])


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            print(f"{name} is not installed", file=sys.stderr)
    pins = [pin.split("==") for peer in peers() for pin in peer.pins[:1]]
    return found | {name: pinned for name, pinned in pins}
