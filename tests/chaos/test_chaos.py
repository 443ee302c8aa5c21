"""A short run of what `make chaos` does at length."""

import os
from pathlib import Path

import pytest

from deploy.local.rabbit_server import NoRabbit, find_script
from tests.chaos.plan import Engine, rounds
from tests.chaos.report import repeats
from tests.chaos.run_round import RoundProgress, run_round

SEED = 1
WORKERS = 4
SESSIONS = 150


def need(engine: Engine) -> None:
    """Skip the test where the engine is not installed, fail it in CI."""
    try:
        if engine == "rabbitmq":
            find_script("rabbitmq-server")
    except NoRabbit as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))


def ignore(_: RoundProgress) -> None:
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
async def test_injected_faults_lose_double_and_falsify_nothing(faults: str, engine: Engine, tmp_path: Path) -> None:
    need(engine)
    plan = rounds(faults, SESSIONS, SEED, WORKERS, engine)[0]

    result = await run_round(plan, tmp_path, SEED, WORKERS, ignore)

    posted = result.history.posted
    owed = {post.biz_id for post in posted if post.accepted and post.proof == "final"}
    counts = f"{len(plan.injections)} faults on {engine}, {len(owed)} decisions owed"
    print(f"{counts}; repeated: {repeats([result]) or 'none'}")
    assert result.violations == ()
    assert len(result.history.injected) == len(plan.injections) > 0
    assert len(owed) > SESSIONS / 2
