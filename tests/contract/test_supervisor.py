"""Several worker processes under one parent, as the operating system sees them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.waiting import LIMIT, until

PARENT = """
import sys
from shared import logs
from workers import child, supervisor
logs.configure("worker", name="supervisor")
child.RESTS = (0.01, 0.1)
child.KILL_AFTER = float(sys.argv[3])
child.SILENT_SECONDS = 3.0
sys.exit(supervisor.run([sys.executable, "-c", sys.argv[1]], int(sys.argv[2]), 0.0))
"""
CHILD = """
import os, pathlib, signal, sys, time
from workers.parent import Parent, ParentGone
folder, parent = pathlib.Path({folder!r}), Parent.from_environment()
{handler}
def alive(pid):
    try:
        return os.kill(pid, 0) is None
    except ProcessLookupError:
        return False
def work(report=b"r"):
    while True:
        parent.report(report)
        time.sleep(0.05)
(folder / str(os.getpid())).touch()
{rest}
"""
OBEYING = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
IGNORING = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
WORKING = "parent.follow(); work()"
UNUSABLE = "sys.exit(2)"


class Start(Protocol):
    def __call__(self, child: str, count: int, handler: str = ...) -> "Supervised": ...


class Supervised:
    """A parent process whose children each leave a file named by their process id."""

    def __init__(self, folder: Path, child: str, count: int, handler: str) -> None:
        self._folder = folder / "children"
        self._folder.mkdir()
        self.log_file = folder / "log"
        code = CHILD.format(folder=str(self._folder), rest=child, handler=handler)
        kill_after = 0.1 if handler == IGNORING else 10.0
        command = [sys.executable, "-c", PARENT, code, str(count), str(kill_after)]
        with self.log_file.open("wb") as log:
            self.parent = subprocess.Popen(command, stderr=log)

    def children(self) -> list[int]:
        """All that have ever been started."""
        return [int(path.name) for path in self._folder.iterdir()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The supervisor's log lines of an event."""
        complete = self.log_file.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in complete if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.parent.send_signal(number)
        return self.parent.wait(LIMIT)

    def end(self) -> None:
        """Kill whatever is left."""
        self.parent.kill()
        self.parent.wait()
        for pid in self.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


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
            stack.callback(supervised.end)
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
    assert start(UNUSABLE, 2).parent.wait(LIMIT) == 2


def test_one_worker_that_rejects_its_settings_leaves_the_running_ones_alone(start: Start) -> None:
    second = "if parent.slot == 2:\n    while not (folder.parent / 'up').exists(): time.sleep(0.01)\n    sys.exit(2)\n"
    supervised = start(f"{second}parent.report(b'r'); (folder.parent / 'up').touch()\n{WORKING}", 2)
    until((supervised.log_file.parent / "up").exists)
    until(lambda: len(supervised.events("worker.died")) >= 3)
    assert supervised.parent.poll() is None
    supervised.stop()


def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    supervised = start(WORKING, 2, IGNORING)
    until(lambda: len(supervised.children()) == 2)
    assert supervised.stop() == signal.SIGKILL
    assert not any(alive(pid) for pid in supervised.children())


def test_a_hangup_restarts_one_worker_after_the_other(start: Start) -> None:
    note = "(folder.parent / f'{os.getpid()}.alive').write_text(str(sum(alive(int(p.name)) for p in folder.iterdir())))"
    supervised = start(f"{note}\n{WORKING}", 3)
    until(lambda: len(supervised.children()) == 3)
    first = set(supervised.children())
    supervised.parent.send_signal(signal.SIGHUP)
    until(lambda: supervised.events("supervisor.restarted"))
    second = set(supervised.children()) - first
    assert len(second) == 3
    assert not any(alive(pid) for pid in first)
    assert [int((supervised.log_file.parent / f"{pid}.alive").read_text()) for pid in second] == [3, 3, 3]
    assert supervised.stop() == 0
    assert not any(alive(pid) for pid in second)


def test_a_restart_ends_at_a_worker_that_can_not_start_any_more(start: Start) -> None:
    once = "if len(list(folder.iterdir())) > 3: sys.exit(1)"
    supervised = start(f"{once}\n{WORKING}", 3)
    until(lambda: len(supervised.children()) == 3)
    supervised.parent.send_signal(signal.SIGHUP)
    until(lambda: supervised.events("supervisor.restart_failed"))
    until(lambda: len(supervised.events("worker.died")) > 2)
    assert sum(alive(pid) for pid in sorted(supervised.children())) >= 2
    assert len(supervised.events("supervisor.restarting")) == 1
    supervised.stop()


def test_workers_end_with_a_killed_supervisor(start: Start) -> None:
    supervised = start(WORKING, 3)
    until(lambda: len(supervised.children()) == 3)
    supervised.parent.kill()
    until(lambda: not any(alive(pid) for pid in supervised.children()))


def test_a_worker_whose_supervisor_died_before_it_could_follow_it_ends_too(start: Start) -> None:
    wait = "while alive(parent.pid): time.sleep(0.01)"
    follow = "try:\n    parent.follow()\nexcept ParentGone:\n    (folder.parent / 'gone').touch()"
    supervised = start(f"{wait}\n{follow}", 1)
    until(lambda: len(supervised.children()) == 1)
    supervised.parent.kill()
    supervised.parent.wait()
    until((supervised.log_file.parent / "gone").exists)


def test_a_stopped_worker_is_replaced(start: Start) -> None:
    supervised = start(WORKING, 2)
    until(lambda: len(supervised.children()) == 2)
    os.kill(stopped := supervised.children()[0], signal.SIGSTOP)
    until(lambda: not alive(stopped))
    until(lambda: len(supervised.children()) >= 3)
    killed = supervised.events("worker.killed")[0]
    assert (killed["child_pid"], killed["why"]) == (stopped, "silent")
    supervised.stop()


def test_a_worker_that_reports_that_it_is_stuck_is_replaced(start: Start) -> None:
    supervised = start("work(b's') if parent.slot == 1 and len(list(folder.iterdir())) == 1 else work()", 1)
    until(lambda: len(supervised.children()) == 2)
    (killed,) = supervised.events("worker.killed")
    assert (killed["child"], killed["why"]) == ("worker-1", "stuck")
    supervised.stop()


def test_every_line_of_the_supervisor_names_itself_and_the_worker_that_it_is_about(start: Start) -> None:
    supervised = start(WORKING, 1)
    until(lambda: len(supervised.children()) == 1)
    os.kill(killed := supervised.children()[0], signal.SIGKILL)
    until(lambda: supervised.events("worker.died"))
    supervised.stop()
    (died,) = supervised.events("worker.died")
    assert died["worker"].startswith("supervisor@")
    assert (died["pid"], died["child"], died["child_pid"]) == (supervised.parent.pid, "worker-1", killed)
