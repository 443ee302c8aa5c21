"""Garbage collection in long-lived processes."""

import gc
from collections.abc import Iterator

import pytest

from shared.gc_tuning import THRESHOLDS, freeze_startup_objects


@pytest.fixture(autouse=True)
def _restored_afterwards() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_startup_objects_are_frozen_and_collections_are_rarer() -> None:
    freeze_startup_objects()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == THRESHOLDS
