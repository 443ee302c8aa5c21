"""Several worker processes under one parent, as the operating system sees them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.waiting import until

PARENT = """
import sys
from workers import supervisor
supervisor.RESTART_DELAY = 0.01
supervisor.KILL_AFTER = float(sys.argv[3])
sys.exit(supervisor._Supervisor([sys.executable, "-c", sys.argv[1]], int(sys.argv[2]), 0.0).run())
"""
CHILD = """
import os, pathlib, signal, sys, time
{handler}
(pathlib.Path({folder!r}) / str(os.getpid())).touch()
{rest}
"""
OBEYING = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
IGNORING = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WORKING = "while True: time.sleep(1)"
UNUSABLE = "sys.exit(2)"


class Start(Protocol):
    def __call__(self, child: str, count: int, handler: str = ...) -> "Supervised": ...


class Supervised:
    """A parent process whose children each leave a file named by their process id."""

    def __init__(self, folder: Path, child: str, count: int, handler: str) -> None:
        self._folder = folder
        code = CHILD.format(folder=str(folder), rest=child, handler=handler)
        kill_after = 0.1 if handler == IGNORING else 10.0
        command = [sys.executable, "-c", PARENT, code, str(count), str(kill_after)]
        self.parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def children(self) -> list[int]:
        """All that have ever been started."""
        return [int(path.name) for path in self._folder.iterdir()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.parent.send_signal(number)
        return self.parent.wait(20)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(child: str, count: int, handler: str = OBEYING) -> Supervised:
            supervised = Supervised(tmp_path, child, count, handler)
            stack.callback(supervised.parent.kill)
            return supervised

        yield begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_workers_and_the_supervisor_exits_with_0(number: signal.Signals, start: Start) -> None:
    supervised = start(WORKING, 3)
    until(lambda: len(supervised.children()) == 3)
    assert supervised.stop(number) == 0
    assert not any(alive(pid) for pid in supervised.children())


def test_a_dead_worker_is_replaced(start: Start) -> None:
    supervised = start(WORKING, 2)
    until(lambda: len(supervised.children()) == 2)
    os.kill(supervised.children()[0], signal.SIGKILL)
    until(lambda: len(supervised.children()) == 3)
    assert supervised.parent.poll() is None
    supervised.stop()


def test_the_supervisor_stops_when_its_workers_reject_their_settings(start: Start) -> None:
    assert start(UNUSABLE, 2).parent.wait(20) == 2


def test_one_worker_that_rejects_its_settings_stops_the_others(tmp_path: Path, start: Start) -> None:
    first = f"if len(list(pathlib.Path({str(tmp_path)!r}).iterdir())) > 1: sys.exit(2)\n{WORKING}"
    supervised = start(first, 2)
    assert supervised.parent.wait(20) == 2
    assert not any(alive(pid) for pid in supervised.children())


def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    supervised = start(WORKING, 2, IGNORING)
    until(lambda: len(supervised.children()) == 2)
    assert supervised.stop() == signal.SIGKILL
    assert not any(alive(pid) for pid in supervised.children())
