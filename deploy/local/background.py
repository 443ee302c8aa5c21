"""A stack that keeps running in the background: remember its processes, and stop them later."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.stack import Stack

FILE = "background.json"


def save_pids(stack: Stack) -> None:
    """Write the pids of the stack's processes to a file in its folder, in the order of stopping."""
    pids = [program.pid for program in reversed(stack.programs)]
    if stack.redis is not None:
        pids.append(stack.redis.pid)
    (stack.folder / FILE).write_text(json.dumps({"pids": pids}))


def running_pids(folder: Path) -> list[int]:
    """The pids of the stack's processes that are still alive, in the order of stopping."""
    try:
        pids: list[int] = json.loads((folder / FILE).read_text())["pids"]
    except FileNotFoundError:
        return []
    return [pid for pid in pids if _is_ours(pid)]


def stop(folder: Path) -> int:
    """Stop the stack of a folder, one process after the other. Returns how many there were."""
    pids = running_pids(folder)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        _wait_for_end(pid)
    (folder / FILE).unlink(missing_ok=True)
    return len(pids)


def _is_ours(pid: int) -> bool:
    """Whether the process is alive. On Linux also whether it is ours: a pid may have been reused."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    command = Path(f"/proc/{pid}/cmdline")
    text = command.read_bytes() if command.exists() else b"console.main"
    return any(name in text for name in (b"console.main", b"redis-server", b"valkey"))


def _wait_for_end(pid: int, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while _is_ours(pid) and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
