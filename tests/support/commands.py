"""The command line as its users call it: by the process's entry point, in this process or in one of its own."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from console.main import main


@dataclass(frozen=True)
class Ran:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Faceid:
    """`faceid` with these settings."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = dict(settings)

    def __call__(self, *words: str, stdin: bytes = b"", **settings: str) -> Ran:
        """Run a command here: it costs no start of a process."""
        out, err = io.StringIO(), io.StringIO()
        given = io.TextIOWrapper(io.BytesIO(stdin))
        code = 0
        with (
            patch.dict("os.environ", self._settings | settings),
            patch.object(sys, "argv", ["faceid", *words]),
            patch.object(sys, "stdin", given),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Ran(code, out.getvalue(), err.getvalue())

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command in a process of its own."""
        with patch.dict("os.environ", self._settings):
            return subprocess.Popen(
                [sys.executable, "-m", "console.main", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
