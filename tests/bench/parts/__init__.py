"""The parts of the benchmark, a file each: what it measures in turn, and the table that shows it."""

from pathlib import Path
from typing import Final

PARTS: Final = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))
