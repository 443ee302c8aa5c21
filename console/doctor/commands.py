"""`faceid doctor`: is everything fit to run?"""

import typer

from console.terminal.options import Json


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(json: Json = False) -> None:
    """Check the settings and the servers behind them, and say what to do about what is amiss.

    Looks at Redis (reachable, version, no eviction, append-only file, memory, clock), the brokers (on RabbitMQ also
    queues, permissions, confirms and alarms), the secrets, the policies and the listening port. Exits with 1 when a
    check fails; a warning is no failure.

    Example: [cyan]faceid doctor[/]
    """
    from console.doctor import run as doctor_run  # noqa: PLC0415 - keeps `faceid --help` quick

    raise typer.Exit(doctor_run.examine(json=json))
