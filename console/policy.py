"""`faceid policy`: how evidence becomes a decision."""

from pathlib import Path
from typing import Annotated

import typer

Account = Annotated[str, typer.Option(help="Whose policy it is.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="The policy, by which evidence becomes a decision.", no_args_is_help=True)
    group.command()(check)
    group.command()(show)
    app.add_typer(group, name="policy")


def check(
    file: Annotated[
        Path | None, typer.Argument(help="A policy in TOML; without it the one in force.", show_default=False)
    ] = None,
    account: Account = "default",
) -> None:
    """Explain a policy in words, or say all that is wrong with it and exit with 1.

    Example: [cyan]faceid policy check strict.toml[/]
    """
    from console import policy_run  # noqa: PLC0415 - keeps `faceid --help` quick

    raise typer.Exit(policy_run.explain_policy(file, account))


def show(account: Account = "default") -> None:
    """Print the policy in force as it is written: the one to copy and to change.

    Example: [cyan]faceid policy show > strict.toml[/]
    """
    from console import policy_run  # noqa: PLC0415

    raise typer.Exit(policy_run.print_policy(account))
