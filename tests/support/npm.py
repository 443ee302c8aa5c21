"""Packages for Node.js that tests run: outside parties, in the versions of `tests/node/package-lock.json`."""

import fcntl
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import TESTS

NODE: Final = TESTS / "node"


def installed() -> Path:
    """The folder that holds the packages; a script has to lie in it, or beneath it, to import them.

    They are brought once for all test processes. Skips the test when that can't be done here, fails it in CI.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        _cannot("no node or no npm on PATH")
    wanted = sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    stamp = NODE / "node_modules/.installed"
    with (NODE / ".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            done = subprocess.run(["npm", "ci"], cwd=NODE, capture_output=True, text=True, check=False)
            if done.returncode:
                _cannot("npm ci failed:\n" + done.stderr)
            stamp.write_text(wanted)
    return NODE


def _cannot(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
