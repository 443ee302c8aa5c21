"""`faceid ingress`, `faceid worker`, `faceid simulator`: the processes."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from shared.messaging.topology import STAGES, Stage

if TYPE_CHECKING:
    from shared.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(ingress)
    app.command()(worker)
    app.command()(simulator)


def ingress() -> None:
    """Receive callbacks over HTTP and store them in the queue.

    Listens on FACEID_LISTEN. Answers 2xx only for what is stored, 503 while nothing can be.
    """
    from console.doctor import startup  # noqa: PLC0415 - a command loads what it needs alone
    from ingress.serve import serve  # noqa: PLC0415

    settings = _settled("ingress")
    startup.warn(settings, "ingress")
    serve(settings)


def worker(
    stages: Annotated[
        list[str] | None, typer.Argument(help=f"Stages to run, of {', '.join(STAGES)}; all of them without any.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many processes; the dead are replaced.")] = 1,
) -> None:
    """Work on callbacks: verify, reconcile, classify, publish.

    SIGTERM stops reading, finishes what is in work within FACEID_GRACE_SECONDS, and hands back the rest.
    """
    from console.doctor import startup  # noqa: PLC0415
    from workers import supervisor, worker  # noqa: PLC0415

    chosen = _stages(stages or [])
    settings = _settled("worker")
    if processes > 1:
        command = [sys.executable, "-m", "console.main", "worker", *chosen]
        raise typer.Exit(supervisor.run(command, processes, settings.grace_seconds))
    startup.warn(settings, "worker")
    raise typer.Exit(worker.run(settings, chosen))


def simulator() -> None:
    """Stand in for FaceID: get_token, do, callbacks and get_result over real HTTP.

    Set up by FACEID_SIMULATOR_...; never to be used for real people.
    """
    from deploy.simulator.model.settings import SimulatorSettings  # noqa: PLC0415
    from deploy.simulator.server.serve import serve  # noqa: PLC0415
    from shared.logs import configure  # noqa: PLC0415

    configure("simulator")
    serve(SimulatorSettings())


def _settled(service: str) -> "Settings":
    """The settings, and logs set up by them."""
    from shared.logs import configure  # noqa: PLC0415
    from shared.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    configure(service, settings.log_level)
    return settings


def _stages(names: list[str]) -> tuple[Stage, ...]:
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise typer.BadParameter(f"no stage {', '.join(unknown)}; the stages are {', '.join(STAGES)}")
    return tuple(stage for stage in STAGES if not names or stage in names)
