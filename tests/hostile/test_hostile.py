"""A short run of what `make hostile` does at length."""

from pathlib import Path

import pytest

from tests.hostile.hostile_run import Size, play

SIZE = Size(posts=400, returns=400, silent=150, rate=10, seconds=8, redis_mib=40, longest_answer=120, store_timeout=30)
"""The posts alone are twice the memory of Redis. How fast the answers come is for `make hostile`."""


@pytest.mark.server
@pytest.mark.slow
async def test_whoever_has_no_secret_keeps_no_genuine_callback_away(tmp_path: Path) -> None:
    outcome = await play(SIZE, tmp_path)
    assert [promise for promise in outcome.promises() if not promise.kept] == [], outcome.genuine.answers
    assert outcome.attack["most_silent"] == SIZE.silent
    assert sum(outcome.attack["answers"].values()) == SIZE.posts + SIZE.returns
    assert len(outcome.genuine.seconds) == 2 * SIZE.rate * SIZE.seconds
