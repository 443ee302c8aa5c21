"""`faceid policy`: check or show the policy that turns evidence into decisions."""

from pathlib import Path
from typing import Annotated

import typer

from console.terminal.accounts import policy_of
from console.terminal.options import OfAccount
from console.terminal.output import plain, print_error, print_line
from shared.settings import load_settings
from workers.decisioning.policy import DEFAULT, Policy, PolicyError, explain

app = typer.Typer(help="Check or show the policy that turns evidence into decisions.", no_args_is_help=True)
PolicyFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="A policy (TOML). Without it, the account's policy.", show_default=False),
]


@app.command()
def check(file: PolicyFile = None, account: OfAccount = "default") -> None:
    """Explain a policy in words, or list all its faults and exit with 1.

    Example: [cyan]faceid policy check strict.toml[/]
    """
    path = file or _policy_file(account)
    try:
        policy = Policy.load(path)
    except PolicyError as error:
        print_error(f"The policy {path} can't be used. Fix these:", *error.faults)
        raise typer.Exit(1) from None
    print_line(plain(f"{path}: version {policy.version}, digest {policy.digest[:12]}", "bold"))
    for line in explain(policy):
        print_line(f"  {line}")


@app.command()
def show(account: OfAccount = "default") -> None:
    """Print the account's policy file, to copy and to change.

    Example: [cyan]faceid policy show > strict.toml[/]
    """
    path = _policy_file(account)
    try:
        print(path.read_text(encoding="utf-8"), end="")
    except (OSError, UnicodeDecodeError) as error:
        print_error(
            f"{path} can't be read ({type(error).__name__}).",
            "Fix the file, or the path in FACEID_POLICY or FACEID_ACCOUNTS.",
        )
        raise typer.Exit(1) from None


def _policy_file(account: str) -> Path:
    return policy_of(load_settings(), account) or DEFAULT
