"""Processes whose wall clock is wrong."""

from pathlib import Path
from typing import Final

from deploy.local.program import Program

DAY: Final = 86_400.0
FOLDER: Final = Path(__file__).parents[1] / "chaos" / "clock"


def set_clock_ahead(program: Program, seconds: float) -> None:
    """Give a program that is not started a wall clock so many seconds ahead of the machine's; behind it if negative."""
    program.env |= {"PYTHONPATH": str(FOLDER), "CHAOS_CLOCK_AHEAD": str(seconds)}
