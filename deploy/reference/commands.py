"""The command line as a page: every command with its help, its arguments and its options."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, Final, Literal, get_args, get_origin

import typer
from typer.main import get_command

from console.main import app

_MARKUP: Final = re.compile(r"\[(?:cyan|bold|dim)\](.*?)\[/\w*\]")


def commands() -> str:
    """A section for every command, in the order of `faceid --help`."""
    return "\n".join(_section(path, command) for path, command in walk())


def walk() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name, such as `faceid dead list`."""
    yield from _below("faceid", get_command(app), None)


def _below(path: str, command: Any, parent: Any) -> Iterator[tuple[str, Any]]:
    context = typer.Context(command, parent=parent, info_name=path.rpartition(" ")[2])
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(context):
        yield from _below(f"{path} {name}", command.resolve_command(context, [name])[1], context)


def _section(path: str, command: Any) -> str:
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    rows = [_row(parameter) for parameter in parameters]
    table = ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"### {path}", "", _plain(cleandoc(command.help or "")), "", *table])


def _row(parameter: Any) -> str:
    meaning = _plain(parameter.help or "").replace("|", "\\|")
    return f"| `{_name(parameter)}` | {_default(parameter)} | {meaning} |"


def _name(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        value = _value(parameter)
        return f"[{value}]..." if parameter.nargs == -1 and not value.endswith("...") else value
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} {_value(parameter)}"


def _value(parameter: Any) -> str:
    """What to write in place of the value: its own word, its choices, its range, or the parameter's name."""
    annotation = parameter.type_descriptor.annotation
    if parameter.metavar:
        return str(parameter.metavar)
    if get_origin(annotation) is Literal:
        return "\\|".join(get_args(annotation))
    if parameter.min is not None:
        return f"{parameter.min}..{'' if parameter.max is None else parameter.max}"
    return str(parameter.name).upper()


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or callable(parameter.default):
        return "-"
    if parameter.default is True:
        return f"`{parameter.opts[0]}`"
    return f"`{parameter.default}`"


def _plain(text: str) -> str:
    """Help without the markup for terminals."""
    return _MARKUP.sub(r"`\1`", text).strip()
