"""`faceid`: the pipeline's command line, and the composition root of its processes."""

import sys

import typer

from console import policy, sign
from console import processes as run
from console.case import commands as case
from console.dead_letters import commands as message_sets
from console.demo import commands as demo
from console.doctor import commands as doctor
from console.results import commands as results
from console.status import commands as status
from console.terminal.errors import explained
from console.terminal.output import complain

app = typer.Typer(
    name="faceid",
    help="From a FaceID callback to a decision: receive, verify, reconcile, decide, publish.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (run, demo, status, case, results, message_sets, sign, policy, doctor):
    room.add_to(app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not found."""
    try:
        app()
    except Exception as error:
        trouble = explained(error)
        if trouble is None:
            raise
        complain(trouble.headline, *trouble.lines)
        sys.exit(trouble.exit_code)


if __name__ == "__main__":
    main()
