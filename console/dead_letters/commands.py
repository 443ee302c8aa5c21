"""`faceid dead` and `faceid unverified`: the same four commands for two message sets."""

import typer

from console.dead_letters.drop import drop
from console.dead_letters.replay import replay
from console.dead_letters.view import list_items, show

dead = typer.Typer(
    help="List, show, replay or drop dead letters: messages that the pipeline failed to process.",
    context_settings={"obj": "dead"},
    no_args_is_help=True,
)
unverified = typer.Typer(
    help="List, show, replay or drop callbacks without a valid signature.",
    context_settings={"obj": "unverified"},
    no_args_is_help=True,
)

for _group, _name, _reason in ((dead, "dead", "error"), (unverified, "unverified", "bad_signature")):
    for _command, _function in (("list", list_items), ("show", show), ("replay", replay), ("drop", drop)):
        _help = (_function.__doc__ or "").replace("NAME", _name).replace("REASON", _reason)
        _group.command(_command, help=_help)(_function)
