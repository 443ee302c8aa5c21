"""The result of one check of `faceid doctor`."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    level: Level
    found: str
    hint: str = ""
    """What to do; empty when the level is ok."""
