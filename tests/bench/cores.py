"""Pin processes to cores, and measure their CPU time and memory.

The process under test has one core for itself; Redis, the load and the rest share the others.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TICK: Final = os.sysconf("SC_CLK_TCK")
_CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
CAN_PIN: Final = len(_CORES) > 1 and shutil.which("taskset") is not None
"""Without two cores and taskset nothing is pinned, and the numbers are less reliable."""


def leave_core_under_test() -> None:
    """Keep this process and its later children off the core under test."""
    if CAN_PIN:
        os.sched_setaffinity(0, _CORES[1:])


def under_test(command: Sequence[str]) -> list[str]:
    """The command line that runs on the core under test."""
    return ["taskset", "--cpu-list", str(_CORES[0]), *command] if CAN_PIN else list(command)


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time that processes and all their descendants have used so far."""
    return sum(_cpu_seconds(each) for pid in pids for each in _family(pid))


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory of processes and all their descendants. Shared memory is divided among those that share it (PSS)."""
    return sum(_memory_bytes(each) for pid in pids for each in _family(pid))


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            continue
        for child in children:
            found += _family(int(child))
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def _memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
