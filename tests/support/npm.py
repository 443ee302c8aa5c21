"""Install the Node.js packages that tests use, in the versions of `tests/node/package-lock.json`."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import TESTS

NODE: Final = TESTS / "node"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceid-pipeline" / "node"


def installed() -> Path:
    """Install the packages. Returns a folder: scripts in it or below it can import them.

    They are installed into the user's cache folder, once for each version of the lock file, and linked from `NODE`. If
    they can't be installed, the test is skipped; in CI it fails.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        _skip_or_fail("no node or no npm on PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / sha256((NODE / "package-lock.json").read_bytes()).hexdigest()[:16]
        if not folder.exists():
            _install(folder)
        _link(NODE / "node_modules", folder / "node_modules")
    return NODE


def _install(folder: Path) -> None:
    """Install into a temporary folder and rename it, so that `folder` is complete if it exists."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        unfinished = Path(name) / "node"
        unfinished.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(NODE / file, unfinished)
        done = subprocess.run(["npm", "ci"], cwd=unfinished, capture_output=True, text=True, check=False)
        if done.returncode:
            _skip_or_fail("npm ci failed:\n" + done.stderr)
        unfinished.rename(folder)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _skip_or_fail(reason: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
