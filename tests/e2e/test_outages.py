"""What real processes do while Redis, RabbitMQ or a worker is away, and afterwards."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.rabbit_server import RabbitServer
from deploy.local.stack import Stack
from deploy.simulator.driver.browser import http_client
from tests.support.load import bodies, decisions, post_all, without_times
from tests.support.queues import Queues, is_idle, queues_of
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
ALL: tuple[str, ...] = ()
PROMPT = {"FACEID_STORE_TIMEOUT_SECONDS": "0.8"}
"""The default. FaceID has to get its answer while the broker hangs."""
QUICK = {
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "1",
    "FACEID_READ_SPACING_SECONDS": "0.2",
    "FACEID_LEASE_SECONDS": "2",
}
"""A killed worker's read is given up after four time-outs, its messages after the lease."""
AT_ONCE = 10.0
"""Seconds. The ingress refuses after 0.8; the rest is for a busy machine."""

MakeStack = Callable[..., Stack]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[MakeStack]:
    """Start a stack. It is stopped after the test."""
    with ExitStack() as stack:

        def start(workers: tuple[tuple[str, ...], ...] = (ALL,), broker_url: str = "", **settings: str) -> Stack:
            one = new_stack(tmp_path / "stack", worker_stages=workers, broker_url=broker_url, settings=QUICK | settings)
            return stack.enter_context(one.running())

        yield start


@pytest.fixture(params=["redis", "rabbitmq"])
def engine_url(request: pytest.FixtureRequest) -> str:
    """The broker of queues and results: the ledger's Redis, or RabbitMQ."""
    url: str = request.getfixturevalue("rabbit_url") if request.param == "rabbitmq" else ""
    return url


class Answer(NamedTuple):
    """The ingress's answer to one callback."""

    status: int
    retry_after: str | None
    seconds: float


def answer_to(stack: Stack, body: bytes) -> Answer:
    async def post() -> Answer:
        async with http_client() as http:
            started = time.monotonic()
            request = http.post(stack.notify_url).header("content-type", "application/x-www-form-urlencoded")
            answer = await request.body_bytes(body).build().send()
            return Answer(answer.status, answer.get_header("retry-after"), time.monotonic() - started)

    return asyncio.run(post())


def accepts(stack: Stack, body: bytes) -> bool:
    return answer_to(stack, body).status == 200


def assert_refused(answer: Answer) -> None:
    assert (answer.status, answer.retry_after) == (503, "5")
    assert answer.seconds < AT_ONCE


def cases_of(queues: Queues) -> set[str]:
    return {decision["biz_id"] for decision in queues.decisions()}


def test_two_killed_workers_lose_and_double_nothing(start_stack: MakeStack, engine_url: str) -> None:
    """On one Redis each decision is published once. On RabbitMQ a killed worker may repeat one under the same id."""
    stack = start_stack((ALL, ALL, ALL), engine_url)
    queues, count = queues_of(stack), 2000

    async def post_and_kill() -> Counter[int]:
        posting = asyncio.create_task(post_all(stack.notify_url, bodies(count)))
        for number, victim in enumerate(stack.workers[:2], 1):
            await asyncio.to_thread(until, lambda number=number: len(cases_of(queues)) >= 150 * number)  # type: ignore[misc]
            victim.kill()
            victim.start()
        return await posting

    with closing(queues), open_redis(stack.redis_url) as redis:
        statuses = asyncio.run(post_and_kill())
        until(
            lambda: len(cases_of(queues)) == count and queues.empty() and redis.zcard("faceid:delayed") == 0,
            what="every decision",
            of=stack.programs,
        )
        made = [without_times(decision) for decision in queues.decisions()]
        dead = redis.zcard("faceid:dead")

    repeated = len(made) - len(set(made))
    print(f"{count} callbacks, 2 kills: {len(set(made))} decided, {repeated} repeated")
    assert statuses == Counter({200: count})
    assert len(set(made)) == count
    assert repeated == 0 or engine_url
    assert dead == 0


def test_while_redis_is_down_or_hung_callbacks_are_refused_at_once(start_stack: MakeStack) -> None:
    stack = start_stack(**PROMPT)
    assert stack.redis is not None
    load = bodies(4)
    until(lambda: accepts(stack, load[0]), what="the first callback to be stored", of=stack.programs)
    stack.redis.kill()
    while_down = answer_to(stack, load[1])
    stack.redis.start()
    stack.redis.pause()
    while_hung = answer_to(stack, load[2])
    stack.redis.resume()
    until(lambda: accepts(stack, load[3]), what="a callback to be stored again", of=stack.programs)

    assert_refused(while_down)
    assert_refused(while_hung)
    with open_redis(stack.redis_url) as redis:
        until(lambda: len(decisions(redis)) >= 2, what="the workers to go on", of=stack.programs)


def test_while_rabbitmq_is_full_hung_or_down_callbacks_are_refused_at_once(
    start_stack: MakeStack, private_rabbit: RabbitServer
) -> None:
    stack = start_stack(broker_url=private_rabbit.url(), **PROMPT)
    load = bodies(100)

    def wait_until_accepted() -> None:
        until(lambda: accepts(stack, load[0]), what="a callback to be stored", of=stack.programs)

    wait_until_accepted()
    private_rabbit.full(full=True)
    until(lambda: answer_to(stack, load[1]).status == 503, what="RabbitMQ's alarm", of=stack.programs)
    while_full = answer_to(stack, load[2])
    private_rabbit.full(full=False)
    wait_until_accepted()
    private_rabbit.pause()
    while_hung = answer_to(stack, load[3])
    private_rabbit.resume()
    wait_until_accepted()
    private_rabbit.kill()
    while_down = answer_to(stack, load[4])
    private_rabbit.start()
    wait_until_accepted()

    for answer in (while_full, while_hung, while_down):
        assert_refused(answer)
    for body in load[5:]:
        until(partial(accepts, stack, body), what="a callback to be stored", of=stack.programs)
    with closing(queues_of(stack)) as queues:
        until(lambda: len(cases_of(queues)) >= 96, what="the workers to go on", of=stack.programs)


def test_a_stopping_worker_finishes_its_messages(start_stack: MakeStack) -> None:
    stack = start_stack(FACEID_GRACE_SECONDS="60")
    asyncio.run(post_all(stack.notify_url, bodies(300)))

    assert stack.workers[0].stop(90) == 0

    with open_redis(stack.redis_url) as redis:
        assert redis.xpending("faceid.callbacks", "faceid")["pending"] == 0
        assert len(decisions(redis)) + redis.xlen("faceid.callbacks") == 300
        stack.workers[0].start()
        until(lambda: len(decisions(redis)) == 300 and is_idle(redis), what="every decision", of=stack.programs)


def test_a_nearly_full_redis_refuses_callbacks_until_there_is_room(start_stack: MakeStack) -> None:
    stack = start_stack(workers=(), FACEID_MAX_MEMORY_SHARE="0.8")
    with open_redis(stack.redis_url) as redis:
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 4_000_000)

        statuses: Counter[int] = Counter()
        for start in range(1, 40_001, 500):
            statuses += asyncio.run(post_all(stack.notify_url, bodies(500, first=start)))
            if statuses[503]:
                break
        memory = redis.info("memory")
        assert statuses[503] > 0
        assert statuses[200] == redis.xlen("faceid.callbacks")
        assert memory["used_memory"] < memory["maxmemory"]

        redis.config_set("maxmemory", memory["used_memory"] * 20)
        (body,) = bodies(1)
        until(lambda: accepts(stack, body), what="a callback to be stored again", of=stack.programs)
