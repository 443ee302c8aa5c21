"""A short run of what `make chaos` does at length."""

from pathlib import Path

import pytest

from tests.chaos.plan import rounds
from tests.chaos.play import Standing, play

SEED = 1
WORKERS = 4


def nobody_looks(_: Standing) -> None:
    """Progress is for terminals."""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("faults", ["all", "crash-all"])
async def test_whatever_is_struck_nothing_is_lost_and_nothing_doubled(faults: str, tmp_path: Path) -> None:
    plan = rounds(faults, 150, SEED, WORKERS)[0]

    played = await play(plan, tmp_path, SEED, WORKERS, nobody_looks)

    owed = {post.biz_id for post in played.history.posted if post.accepted and post.proof == "final"}
    assert played.violations == ()
    assert sum(toll.blows for toll in played.tolls) == len(plan.strikes) > 0
    assert len(owed) > 80
