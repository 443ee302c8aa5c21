"""A child process of ours: started with a log file of its own, stopped in good order or killed."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Program:
    """One child process and its log. It gets a session of its own, so that a Ctrl-C reaches only the parent."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._command = list(command)
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process; raises RuntimeError when it was not started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; the log is continued."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, start_new_session=True
            )

    def wait(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        """Return when `ready` says so; raises RuntimeError when the process ends before, or `seconds` do."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.running or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start; see {self.log_file}")
            time.sleep(0.02)

    def logged(self, text: str) -> bool:
        """Whether the log holds `text`."""
        return text in self.log_file.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is alive."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, seconds: float = 30.0) -> int | None:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit code."""
        self.send(signal.SIGTERM)
        return self._await(seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self.send(signal.SIGKILL)
        self._await(10)

    def _await(self, seconds: float) -> int | None:
        if self._process is None:
            return None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
