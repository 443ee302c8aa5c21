import json

import pytest

from console.terminal.error_report import report
from console.terminal.errors import CommandError, NotFound
from console.terminal.output import plain, plural, print_error, print_json, print_line
from shared.messaging.publisher import NotStored
from shared.settings import SettingsError
from workers.decisioning.policy import PolicyError


def test_control_characters_are_escaped() -> None:
    assert plain("a\x1b[31mred\r\nb\u202e").plain == r"a\x1b[31mred\r\nb\u202e"


def test_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("item [bold]x[/bold] [/]")

    assert capsys.readouterr().out == "item [bold]x[/bold] [/]\n"


def test_lines_are_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("word " * 100)
    print_error("word " * 100, "more " * 100)

    captured = capsys.readouterr()
    assert (captured.out.count("\n"), captured.err.count("\n")) == (1, 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("broken"), 1),
        (NotFound("nothing"), 1),
        (SettingsError(["FACEID_LISTEN: no port"]), 2),
        (PolicyError(["version: missing"]), 2),
        (NotStored("TimeoutError"), 3),
    ],
)
def test_a_known_error_is_printed_and_has_an_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code
    assert capsys.readouterr().err != ""


def test_a_bug_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyError("x")) is None
    assert capsys.readouterr().err == ""


def test_json_escapes_a_lone_surrogate(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "\u00e9\ud800"})

    out = capsys.readouterr().out
    assert out == '{"a":"\u00e9\\ud800"}\n'
    assert json.loads(out) == {"a": "\u00e9\ud800"}


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 attempts"), (1, "1 attempt"), (2, "2 attempts"), (1200, "1,200 attempts")]
)
def test_a_number_has_the_right_noun(count: int, text: str) -> None:
    assert plural(count, "attempt") == text
    assert plural(2, "process", "processes") == "2 processes"
