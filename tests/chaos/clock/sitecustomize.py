"""Gives a process a wrong wall clock. Python imports this file when it starts.

CHAOS_CLOCK_AHEAD: how many seconds the clock is ahead. CHAOS_CLOCKS: a folder that gets a file named by the process id,
through which the clock can be stepped from outside. Its eight bytes are a double: the seconds that are added to that.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path


def _steps(folder: Path) -> Callable[[], float]:
    file = folder / str(os.getpid())
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        step = mmap.mmap(opened.fileno(), 8)
    return lambda: float(struct.unpack("d", step)[0])


def _change_clock() -> None:
    ahead, true_time = float(os.environ.get("CHAOS_CLOCK_AHEAD", "0")), time.time
    step = _steps(Path(os.environ["CHAOS_CLOCKS"])) if "CHAOS_CLOCKS" in os.environ else lambda: 0.0
    time.time = lambda: true_time() + ahead + step()


if {"CHAOS_CLOCKS", "CHAOS_CLOCK_AHEAD"} & os.environ.keys():
    _change_clock()
