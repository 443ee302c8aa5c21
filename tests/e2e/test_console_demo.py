"""The commands that `faceid demo --keep` prints work as printed, in a shell without the virtual environment."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import LIMIT, until

pytestmark = [pytest.mark.server, pytest.mark.slow]
FACEID = str(Path(sys.executable).with_name("faceid"))


@dataclass(frozen=True)
class Demo:
    """A demo that was left running."""

    commands: list[str]
    """The commands that it printed."""
    folder: Path

    def command(self, *words: str) -> str:
        """The printed command that has all these words."""
        (found,) = [command for command in self.commands if set(words) <= set(shlex.split(command))]
        return found

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as in a new terminal: in another folder, after the printed exports."""
        exports = [line for line in self.commands if line.startswith("export ")]
        return subprocess.run(
            ["/bin/sh", "-c", "\n".join([*exports, command])],
            cwd="/",
            env={"PATH": os.defpath, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo") / "a folder"
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACEID_")}
    words = [FACEID, "demo", "--keep", "--sessions", "20", "--folder", str(folder)]
    ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
    try:
        assert ran.returncode == 0, ran.stdout + ran.stderr
        printed = ran.stdout.partition("Everything is still running.")[2]
        yield Demo([line.strip() for line in printed.splitlines() if line.startswith("  ")], folder)
    finally:
        subprocess.run([FACEID, "demo", "--stop", "--folder", str(folder)], check=True, capture_output=True)


def test_the_signed_callback_is_accepted_and_decided(demo: Demo) -> None:
    posted = demo.shell(demo.command("curl", "-i"))

    assert posted.stdout.startswith("HTTP/1.1 200")
    case = demo.command(FACEID, "case")
    until(lambda: "REJECTED" in demo.shell(case).stdout, what="a decision on the posted callback")


@pytest.mark.parametrize("words", [("status",), ("unverified", "list")])
def test_the_printed_commands_work(demo: Demo, words: tuple[str, ...]) -> None:
    ran = demo.shell(demo.command(FACEID, *words))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout != ""


def test_the_decisions_can_be_watched(demo: Demo) -> None:
    ran = demo.shell(demo.command(FACEID, "results", "tail") + " --no-follow")

    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 10)


def test_metrics_and_logs_are_where_the_demo_says(demo: Demo) -> None:
    (metrics,) = [command for command in demo.commands if command.endswith("/metrics")]
    (logs,) = [command for command in demo.commands if command.startswith("tail ")]

    assert "faceid_" in demo.shell(metrics).stdout
    assert "worker.started" in demo.shell(logs.replace("tail", "cat", 1)).stdout


def test_the_printed_command_stops_the_demo(demo: Demo) -> None:
    ran = demo.shell(demo.command(FACEID, "--stop"))

    assert (ran.returncode, ran.stdout) == (0, "stopped 5 processes\n")
