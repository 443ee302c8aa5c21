"""A child process with its own log file: start it, stop it with SIGTERM, or kill it."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.local.ports import START_SECONDS


class Program:
    """One child process and its log. It runs in its own session, so Ctrl-C reaches only the parent."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._command = list(command)
        self.env = dict(env)
        """Its environment when it starts."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when it was not started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code. None while it runs, or when it was not started."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it. New output is appended to the log."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True
            )

    def wait(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Return when `ready()` is true. Raises RuntimeError when the process ends before, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start; see {self.log_file}")
            time.sleep(0.02)

    def logged(self, text: str) -> bool:
        """Whether the log contains `text`."""
        return text in self.log_file.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is alive."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, seconds: float = 30.0) -> int | None:
        """Send SIGTERM, and SIGKILL after `seconds`. Returns the exit code."""
        self.send(signal.SIGTERM)
        return self._wait(seconds)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.send(signal.SIGKILL)
        self._wait(10)

    def _wait(self, seconds: float) -> int | None:
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
