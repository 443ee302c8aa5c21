"""Send load to an HTTP server with wrk: one thread, 64 connections, one request at a time on each."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.bench.callbacks import body
from tests.bench.measuring import Measured
from tests.bench.work import FORM

CONNECTIONS: Final = 64
_POST: Final = f"""
wrk.method = "POST"
wrk.headers["content-type"] = "{FORM}"
wrk.body = "{body(1)}"
"""
_REPORT: Final = """
function done(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
  print(summary.requests, summary.duration, bad)
  print(latency.min)
  for percent = 1, 99 do print(latency:percentile(percent)) end
  print(latency.max)
end
"""


class NoWrk(Exception):
    """wrk is not on this machine."""


class BadAnswers(Exception):
    """Some requests were not answered, or not with a 2xx."""


class Load:
    """Post a callback to a URL, or only get it. `cpu`: returns the server's CPU seconds. Raises `NoWrk`."""

    def __init__(self, url: str, folder: Path, cpu: Callable[[], float], *, post: bool = True) -> None:
        script = folder / "wrk.lua"
        script.write_text((_POST if post else "") + _REPORT)
        self._command = [find_wrk(), "-t1", f"-c{CONNECTIONS}", "-s", str(script), url]
        self._cpu = cpu
        self.answered = 0
        """Requests answered so far, all with a 2xx."""

    def run(self, seconds: int) -> Measured:
        """Send load for so many seconds. `p0` to `p100` are milliseconds. Raises `BadAnswers`."""
        before = self._cpu()
        done = subprocess.run([*self._command, f"-d{seconds}s"], capture_output=True, text=True, check=True)
        spent = self._cpu() - before
        counts, *percentiles = done.stdout.splitlines()[-102:]
        requests, microseconds, bad = (int(number) for number in counts.split())
        if bad:
            raise BadAnswers(f"{bad} of {requests} requests")
        self.answered += requests
        measured = {"rate": requests / microseconds * 1e6, "cpu_us": spent / max(requests, 1) * 1e6}
        measured["share"] = spent / microseconds * 1e6
        return measured | {f"p{percent}": float(text) / 1000 for percent, text in enumerate(percentiles)}


def find_wrk() -> str:
    """The path of wrk. Raises `NoWrk`."""
    if found := shutil.which("wrk"):
        return found
    raise NoWrk("the load comes from wrk, which is not installed: apt-get install wrk, brew install wrk")
