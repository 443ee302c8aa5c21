"""The watchers of the demo and the tests: they receive every decision and consume none."""

import asyncio
import contextlib
import time

import pytest

from deploy.local.result_watcher import ResultWatcher, can_watch, open_watcher
from tests.support.result_makers import PREFIX, alert, decision, publish
from tests.support.waiting import eventually

pytestmark = pytest.mark.server


@pytest.fixture(params=["streams", "rabbitmq", "lists"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbit_url"))
    redis = str(request.getfixturevalue("redis_url"))
    return redis if request.param == "streams" else f"stock+{redis}"


def numbers(watcher: ResultWatcher) -> list[str | None]:
    return [one.decision.biz_no for one in watcher.received]


async def test_every_watcher_receives_each_new_decision_once(url: str) -> None:
    started = time.time()
    publish(url, decision(1))
    first, second = open_watcher(url, PREFIX), open_watcher(url, PREFIX)
    await asyncio.to_thread(publish, url, decision(2))  # before either has begun to read
    watching = [asyncio.create_task(one.watch()) for one in (first, second)]

    def running() -> bool:
        for task in watching:
            if task.done():
                task.result()  # raises what has ended it
        return True

    await asyncio.to_thread(publish, url, alert(), *(decision(number) for number in range(3, 40)))
    await eventually(lambda: running() and all("39" in numbers(one) for one in (first, second)))

    for task, one in zip(watching, (first, second), strict=True):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await one.close()
        assert numbers(one) == [f"{number}" for number in range(2, 40)]
        assert all(started - 1 < received.at < time.time() + 1 for received in one.received)


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
def test_only_brokers_that_can_be_read_without_consuming_are_watched(url: str, can: bool) -> None:
    assert can_watch(url) == can
