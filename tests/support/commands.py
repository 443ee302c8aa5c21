"""Run commands through the entry point `console.main:main`, in this process or in another one."""

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
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The output, one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Faceid:
    """The command `faceid` with these settings."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = dict(settings)

    def __call__(self, *words: str, stdin: bytes = b"", **settings: str) -> CommandResult:
        """Run a command in this process, which is faster than starting one."""
        out, err = io.StringIO(), io.StringIO()
        standard_input = io.TextIOWrapper(io.BytesIO(stdin))
        code = 0
        with (
            patch.dict("os.environ", self._settings | settings),
            patch.object(sys, "argv", ["faceid", *words]),
            patch.object(sys, "stdin", standard_input),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return CommandResult(code, out.getvalue(), err.getvalue())

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command in another process."""
        with patch.dict("os.environ", self._settings):
            return subprocess.Popen(
                [sys.executable, "-m", "console.main", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
