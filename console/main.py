"""`faceid`: the pipeline's command line, and the composition root of its processes."""

import sys

import typer

from console import demo, run
from console.say import complain
from shared.settings import SettingsError

app = typer.Typer(
    name="faceid",
    help="From a FaceID callback to a decision: receive, verify, reconcile, decide, publish.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
run.add_to(app)
demo.add_to(app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not found."""
    try:
        app()
    except SettingsError as error:
        complain("The settings can't be used:", *error.faults)
        sys.exit(2)


if __name__ == "__main__":
    main()
