"""The command table: help from its summaries, commands imported when they run."""

import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

from console.main import COMMANDS, Command
from tests.support.commands import Faceid

faceid = Faceid({})


def leaves(command: Any, words: str) -> dict[str, str]:
    """The help of a command, or of each of its subcommands, by the words that call it."""
    subcommands = getattr(command, "commands", None)
    if not subcommands:
        return {words: command.help}
    return {call: text for name, sub in subcommands.items() for call, text in leaves(sub, f"{words} {name}").items()}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_summary_is_the_first_sentence_of_the_commands_help(command: Command) -> None:
    assert command.load().help.startswith(command.summary)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_help_has_an_example(command: Command) -> None:
    for words, text in leaves(command.load(), command.name).items():
        assert f"faceid {words}" in text.partition("Example: ")[2], words


def test_the_help_lists_every_command_and_the_completion() -> None:
    ran = faceid("--help")

    assert ran.code == 0
    assert all(command.name in ran.out for command in COMMANDS)
    assert "--install-completion" in ran.out


def test_an_unknown_command_is_a_usage_error_with_a_suggestion() -> None:
    ran = faceid("wroker")

    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean 'worker'?" in ran.err


def test_the_version_is_the_packages() -> None:
    assert faceid("--version").out == f"faceid {version('faceid-pipeline')}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("faceid de", ["demo", "dead"]),
        ("faceid dead re", ["replay"]),
        ("faceid dead list --stage c", ["classify"]),
        ("faceid settings --j", ["--json"]),
    ],
)
def test_the_shell_completes_commands_and_options(words: str, expected: list[str]) -> None:
    env = os.environ | {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    ran = subprocess.run(
        [sys.executable, "-c", "import console.main as m; m.app(prog_name='faceid')"],
        env=env | {"_FACEID_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.split() == expected
