"""A short run of what `make chaos` does at length."""

import os
from pathlib import Path

import pytest

from deploy.local.rabbit_server import NoRabbit, find_script
from tests.chaos.plan import Engine, rounds
from tests.chaos.play import Standing, play
from tests.chaos.tell import repeats

SEED = 1
WORKERS = 4


def need(engine: Engine) -> None:
    """Skip the test where the engine is not installed, fail it in CI."""
    try:
        if engine == "rabbitmq":
            find_script("rabbitmq-server")
    except NoRabbit as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))


def nobody_looks(_: Standing) -> None:
    """Progress is for terminals."""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "engine"),
    [
        ("all", "redis"),
        ("crash-all", "redis"),
        ("kill-rabbitmq,kill-worker", "rabbitmq"),
    ],
)
async def test_whatever_is_struck_nothing_is_lost_and_nothing_doubled(
    faults: str, engine: Engine, tmp_path: Path
) -> None:
    need(engine)
    plan = rounds(faults, 150, SEED, WORKERS, engine)[0]

    played = await play(plan, tmp_path, SEED, WORKERS, nobody_looks)

    owed = {post.biz_id for post in played.history.posted if post.accepted and post.proof == "final"}
    print(
        f"{len(plan.strikes)} strikes on {engine}, {len(owed)} decisions owed; repeated: {repeats([played]) or 'none'}"
    )
    assert played.violations == ()
    assert sum(toll.blows for toll in played.tolls) == len(plan.strikes) > 0
    assert len(owed) > 80
