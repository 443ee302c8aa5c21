"""`faceid worker`."""

import sys
from typing import Annotated

import typer

from console.processes.startup import check_in_background, load_and_configure
from shared.admin.listener import WORKER_ADDRESS
from shared.messaging.topology import STAGES, Stage
from workers import supervisor
from workers import worker as worker_process
from workers.parent import Parent, ParentGone, worker_name

StageNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STAGE", help=f"Stages to run: {', '.join(STAGES)}. Without any, all of them.", show_default=False
    ),
]
Processes = Annotated[
    int, typer.Option(min=1, max=256, help="Number of processes; a process that ends is started again.")
]


def worker(stages: StageNames = None, processes: Processes = 1) -> None:
    """Process callbacks: verify, reconcile, classify and publish.

    On SIGTERM a worker stops reading, finishes its messages within FACEID_GRACE_SECONDS, and hands back the others.
    With --processes, a process that dies or is stuck is replaced, and SIGHUP restarts the processes one by one, with
    the settings, files and code of then.

    Example: [cyan]faceid worker --processes 4[/], or only some stages: [cyan]faceid worker verify reconcile[/]
    """
    chosen = _stages(stages or [])
    parent = _parent()
    settings = load_and_configure("worker", _name(parent, processes))
    if processes > 1:
        command = [sys.executable, "-m", "console.main", "worker", *chosen]
        raise typer.Exit(
            supervisor.run(command, processes, settings.grace_seconds, settings.admin_listen or WORKER_ADDRESS)
        )
    check_in_background(settings, "worker")
    raise typer.Exit(worker_process.run(settings, chosen, parent))


def _parent() -> Parent | None:
    """The supervisor of this process, if it has one."""
    try:
        if parent := Parent.from_environment():
            parent.follow()
    except ParentGone:
        raise typer.Exit(1) from None
    return parent


def _name(parent: Parent | None, processes: int) -> str:
    """The name of this process in its log lines."""
    if parent:
        return worker_name(parent.slot)
    return "supervisor" if processes > 1 else "worker"


def _stages(names: list[str]) -> tuple[Stage, ...]:
    """The stages of these names in the pipeline's order; all of them without any name."""
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise typer.BadParameter(f"There is no stage {', '.join(unknown)}. The stages are {', '.join(STAGES)}.")
    return tuple(stage for stage in STAGES if not names or stage in names)
