"""`faceid sign` and `faceid verify`: a callback's signature, for integration tests."""

from typing import Annotated

import typer

Account = Annotated[str, typer.Option(help="Whose secrets to use.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(sign)
    app.command()(verify)


def sign(account: Account = "default") -> None:
    """Make a callback of the data text on stdin: prints the form body as FaceID would post it.

    Signed with the account's newest secret (FACEID_API_SECRETS). One line end after the text is left off.

    Example: [cyan]faceid sign < data.json | curl --data-binary @- http://127.0.0.1:8028/callbacks/default/notify[/]
    """
    from console import sign_run  # noqa: PLC0415 - keeps `faceid --help` quick

    sign_run.print_signed(account)


def verify(account: Account = "default") -> None:
    """Judge the form body on stdin as the pipeline would; exits with 1 when it proves nothing.

    Says which of the account's secrets signed it, never the secret.

    Example: [cyan]faceid sign < data.json | faceid verify[/]
    """
    from console import sign_run  # noqa: PLC0415

    raise typer.Exit(sign_run.print_judgement(account))
