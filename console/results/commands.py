"""`faceid results`: watch decisions without consuming them, or publish them again."""

import typer

from console.results.resend import resend
from console.results.tail import tail

app = typer.Typer(help="Watch decisions without consuming them, or publish them again.", no_args_is_help=True)
app.command()(tail)
app.command()(resend)
