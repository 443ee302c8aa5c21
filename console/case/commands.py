"""`faceid case`: show everything about one verification, or decide it again."""

from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from console.case.redecide import redecide
from console.case.show import show

if TYPE_CHECKING:
    from typer import Context


class _ShowByDefault(TyperGroup):
    """`faceid case BIZ_ID` means `faceid case show BIZ_ID`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own click
        if args and args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ShowByDefault,
    no_args_is_help=True,
    help="Show everything about one verification, or decide it again.\n\n"
    "Example: [cyan]faceid case 1462259748,7ab2dd0e-7d1e-4a2b-9f0c-2f6d2f8d7c11[/]",
)
app.command()(show)
app.command()(redecide)
