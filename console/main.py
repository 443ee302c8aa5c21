"""`faceid`: the command line, and the entry point of every process of the pipeline."""

import re
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer import Context


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and where to import it from."""

    name: str
    module: str
    attribute: str
    """A function, or a `typer.Typer` with several."""
    summary: str
    """The first sentence of its help."""

    def load(self) -> Any:
        """Import the command."""
        target = getattr(import_module(self.module), self.attribute)
        holder = typer.Typer(rich_markup_mode="rich")
        if isinstance(target, typer.Typer):
            holder.add_typer(target, name=self.name)
        else:
            holder.command(self.name)(target)
        command = typer.main.get_group(holder).commands[self.name]
        _join_lines(command)
        return command


def _join_lines(command: Any) -> None:
    """Join the lines of each paragraph of the help: typer would keep the line breaks of the docstring."""
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for subcommand in getattr(command, "commands", {}).values():
        _join_lines(subcommand)


COMMANDS: Final = (
    Command(
        "ingress", "console.processes.ingress", "ingress", "Receive callbacks over HTTP and store them in the queue."
    ),
    Command(
        "worker", "console.processes.worker", "worker", "Process callbacks: verify, reconcile, classify and publish."
    ),
    Command(
        "simulator",
        "console.processes.simulator",
        "simulator",
        "Simulate FaceID over HTTP: tokens, sessions, callbacks and GetResult.",
    ),
    Command(
        "demo",
        "console.demo.commands",
        "demo",
        "Run the whole pipeline on this machine with simulated sessions, and count the decisions.",
    ),
    Command("status", "console.status.commands", "status", "Show queues, message sets, workers and results."),
    Command("doctor", "console.doctor.commands", "doctor", "Check the settings and the servers, and say what to fix."),
    Command("settings", "console.settings", "settings", "Show every setting: its value, source, default and meaning."),
    Command("case", "console.case.commands", "app", "Show everything about one verification, or decide it again."),
    Command(
        "results", "console.results.commands", "app", "Watch decisions without consuming them, or publish them again."
    ),
    Command(
        "dead",
        "console.dead_letters.commands",
        "dead",
        "List, show, replay or drop dead letters: messages that the pipeline failed to process.",
    ),
    Command(
        "unverified",
        "console.dead_letters.commands",
        "unverified",
        "List, show, replay or drop callbacks without a valid signature.",
    ),
    Command("policy", "console.policy", "app", "Check or show the policy that turns evidence into decisions."),
    Command("sign", "console.sign", "sign", "Make a signed callback from the JSON on stdin."),
    Command("verify", "console.sign", "verify", "Verify the signature of the callback on stdin."),
)


class LazyGroup(TyperGroup):
    """A group that imports a command when it is run. Its help shows the summaries of the table."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {command.name: TyperCommand(command.name, help=command.summary) for command in COMMANDS}

    def resolve_command(self, ctx: "Context", args: list[str]) -> Any:  # type: ignore[override]  # typer's own click
        """The name, the command and its arguments; the command is imported."""
        name, _, rest = super().resolve_command(ctx, args)
        found = [command.load() for command in COMMANDS if command.name == name]
        return name, found[0] if found else None, rest


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"faceid {version('faceid-pipeline')}")
        raise typer.Exit


app = typer.Typer(
    name="faceid",
    cls=LazyGroup,
    help="From a FaceID callback to a decision: receive, verify, reconcile, decide, publish.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not found."""
    try:
        app()
    except Exception as error:
        from console.terminal.error_report import report  # noqa: PLC0415 - keeps `faceid --help` quick

        exit_code = report(error)
        if exit_code is None:
            raise
        sys.exit(exit_code)


if __name__ == "__main__":
    main()
