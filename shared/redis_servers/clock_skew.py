"""How far a machine's wall clock and Redis's clock may differ. No I/O."""

from typing import Final

MOST_SKEW: Final = 30.0
"""Seconds. Above it one of the two clocks is wrong, and nothing is deleted for its age."""
