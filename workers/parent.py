"""A worker's side of its supervisor: end with it, and report to it.

The supervisor gives a child the write end of a pipe. The child writes one byte for each report. The environment
variable `WORKER_PARENT` names both.
"""

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from typing import Final, Literal, Self

VARIABLE: Final = "WORKER_PARENT"
"""Environment variable: the supervisor's process id, the number of the child, and the file descriptor of its pipe."""
PR_SET_PDEATHSIG: Final = 1
"""Linux, prctl(2): the signal that a process gets when its parent dies."""

Report = Literal[b"w", b"s", b"l", b"r"]
"""`w`: waits at its start for a server. `s`: stuck. `l`: works, and is not ready. `r`: ready."""


class ParentGone(Exception):
    """The supervisor has died."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The supervisor of this process."""

    pid: int
    slot: int
    """The number of this child, from 1. A child that replaces another one has its number."""
    pipe: int

    @classmethod
    def from_environment(cls) -> Self | None:
        """The supervisor; None for a process without one."""
        found = os.environ.get(VARIABLE)
        return cls(*map(int, found.split(":"))) if found else None

    def environment(self) -> dict[str, str]:
        """The environment of a child of this parent."""
        return {**os.environ, VARIABLE: f"{self.pid}:{self.slot}:{self.pipe}"}

    def follow(self) -> None:
        """Get SIGTERM when the supervisor dies (on Linux). Raises `ParentGone` when it is dead already."""
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self.pid:  # it died before the call above
            raise ParentGone

    def report(self, state: Report) -> None:
        """Report a state. Never waits. Raises `ParentGone`."""
        try:
            os.write(self.pipe, state)
        except BlockingIOError:  # the supervisor is slow, and has reports enough
            pass
        except BrokenPipeError:
            raise ParentGone from None


def worker_name(slot: int) -> str:
    """The name of a supervised worker, before `@HOST`."""
    return f"worker-{slot}"
