"""Tune Python's cyclic garbage collector for processes that handle many small objects and run for long."""

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 50)
"""For gc.set_threshold. A batch of messages is thousands of objects that all live until the batch is settled."""


def freeze_startup_objects() -> None:
    """Exclude all objects that exist now from garbage collection, and collect less often. Call it after start-up."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
