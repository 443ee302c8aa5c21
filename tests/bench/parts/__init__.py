"""The parts of the benchmark. Each file defines what is measured in a round, and the table of the results."""

from pathlib import Path
from typing import Final

PARTS: Final = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")))
