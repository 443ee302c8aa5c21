"""Whoever counts the results of a demo or a test sees them come, and takes nothing from their consumers."""

import asyncio
import contextlib
import time

import pytest

from deploy.local.follower import Follower, can_follow, open_follower
from tests.support.result_makers import PREFIX, alert, decision, publish
from tests.support.waiting import eventually

pytestmark = pytest.mark.server


@pytest.fixture(params=["streams", "rabbitmq", "lists"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbit_url"))
    redis = str(request.getfixturevalue("redis_url"))
    return redis if request.param == "streams" else f"stock+{redis}"


def numbers(follower: Follower) -> list[str | None]:
    """Of the decisions that have arrived, but for those that waited for the start."""
    return [arrived.decision.biz_no for arrived in follower.arrived if arrived.decision.biz_no != "0"]


async def test_every_follower_receives_each_new_decision_once(url: str) -> None:
    started = time.time()
    publish(url, decision(1))
    first, second = open_follower(url, PREFIX), open_follower(url, PREFIX)
    following = [asyncio.create_task(one.follow()) for one in (first, second)]
    while not (first.arrived and second.arrived):  # nothing else tells that they have begun
        await asyncio.to_thread(publish, url, decision(0))
        await asyncio.sleep(0.02)

    await asyncio.to_thread(publish, url, alert(), *(decision(number) for number in range(2, 40)))
    await eventually(lambda: all("39" in numbers(one) for one in (first, second)))

    for task, one in zip(following, (first, second), strict=True):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await one.close()
        assert numbers(one) == [f"{number}" for number in range(2, 40)]
        assert all(started - 1 < arrived.at < time.time() + 1 for arrived in one.arrived)


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("", True),
        ("redis://127.0.0.1/1", True),
        ("amqps://somewhere/v", True),
        ("stock+redis://127.0.0.1/1", True),
        ("stock+amqp://somewhere/v", False),
        ("sqs://", False),
    ],
)
def test_only_engines_that_can_be_read_without_consuming_are_followed(url: str, can: bool) -> None:
    assert can_follow(url) == can
