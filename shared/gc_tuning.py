"""Python's cyclic garbage collector, in processes that handle many small things and live for long."""

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""A batch in work is thousands of objects, hardly one of them garbage before it is settled."""


def spare() -> None:
    """Have it look less often, and never again at what is here by now; to be called when a process is set up."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
