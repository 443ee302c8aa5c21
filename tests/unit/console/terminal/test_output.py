import pytest

from console.terminal.errors import CommandError, NotFound, explained
from console.terminal.output import complain, plain, tell
from shared.messaging.publisher import NotStored
from shared.settings import SettingsError
from workers.decisioning.policy import PolicyError


def test_what_would_steer_a_terminal_is_spelt_out() -> None:
    assert plain("a\x1b[31mred\r\nb\u202e").plain == r"a\x1b[31mred\r\nb\u202e"


def test_what_looks_like_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    tell("item [bold]x[/bold] [/]")

    assert capsys.readouterr().out == "item [bold]x[/bold] [/]\n"


def test_lines_are_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    tell("word " * 100)
    complain("word " * 100, "more " * 100)

    captured = capsys.readouterr()
    assert (captured.out.count("\n"), captured.err.count("\n")) == (1, 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("broken"), 1),
        (NotFound("nothing"), 3),
        (SettingsError(["FACEID_LISTEN: no port"]), 2),
        (PolicyError(["version: missing"]), 2),
        (NotStored("TimeoutError"), 1),
    ],
)
def test_what_an_operator_can_mend_is_told_in_words_with_its_exit_code(error: Exception, code: int) -> None:
    trouble = explained(error)

    assert trouble is not None
    assert trouble.exit_code == code


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert explained(KeyError("x")) is None
