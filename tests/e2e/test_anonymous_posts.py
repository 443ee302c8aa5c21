"""Large posts that nobody has signed, on a small Redis: genuine callbacks are stored and decided all the same."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from redis import Redis

from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet, run_commands, store_command
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from tests.support.load import bodies, decisions, post_all
from tests.support.queues import queues_of
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

MIB = 2**20
MEMORY = 64 * MIB
POSTS = 40
SIZE = 262_144
"""Bytes of a post: the longest that is accepted. Bytes that are no text once took six times as much."""
KEPT = 16_384
"""Bytes of a body that are kept."""
GENUINE = 5
NO_CAP = {"FACEID_UNVERIFIED_MAX_BYTES": str(10**12)}

StartStack = Callable[..., Stack]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """Start a stack with one worker. It is stopped after the test."""
    with ExitStack() as stack:

        def start(broker_url: str = "", **settings: str) -> Stack:
            known = {"FACEID_RECONCILE": "never", **settings}
            one = new_stack(tmp_path / "stack", worker_stages=((),), broker_url=broker_url, settings=known)
            return stack.enter_context(one.running())

        yield start


@pytest.fixture(params=["redis", "rabbitmq"])
def engine_url(request: pytest.FixtureRequest) -> str:
    """The broker of queues and results: the ledger's Redis, or RabbitMQ."""
    url: str = request.getfixturevalue("rabbit_url") if request.param == "rabbitmq" else ""
    return url


def put_unverified(redis: "Redis", count: int) -> None:
    """Items as the workers store them."""
    for number in range(count):
        message = Message("faceid.callbacks", b"\xff" * KEPT, "text/plain", {"id": f"item-{number}"})
        stored = StoredMessage(f"item-{number}", "verify", "malformed", "no form", 0.0, message=message)
        run_commands(redis, [store_command("faceid", "unverified", stored)])


def memory(redis: "Redis") -> int:
    return int(redis.info("memory")["used_memory"])


def test_forty_anonymous_posts_of_the_longest_body_refuse_no_genuine_callback(start_stack: StartStack) -> None:
    stack = start_stack()
    with open_redis(stack.redis_url) as redis:
        redis.config_set("maxmemory", MEMORY)
        message_set = MessageSet(redis, "faceid", "unverified")
        rubbish = [b"%03d" % number + b"\xff" * (SIZE - 3) for number in range(POSTS)]
        stored = 0

        def all_stored() -> bool:  # the ingress refuses large bodies for a moment when many come at once
            nonlocal stored
            stored += asyncio.run(post_all(stack.notify_url, rubbish[stored:], at_once=1))[200]
            return stored == POSTS

        until(all_stored, what="every post stored", of=stack.programs)
        until(lambda: len(message_set) == POSTS, what="every post judged", of=stack.programs)

        assert asyncio.run(post_all(stack.notify_url, bodies(GENUINE))) == {200: GENUINE}
        until(lambda: len(decisions(redis)) == GENUINE, what="every decision", of=stack.programs)

        assert memory(redis) < MEMORY / 4, f"{memory(redis) / MIB:.1f} MiB"
        for kept in message_set:
            assert kept.message is not None
            assert (len(kept.message.body), kept.body_bytes) == (KEPT, SIZE)


def test_a_redis_that_unverified_callbacks_have_filled_works_again_without_help(
    start_stack: StartStack, engine_url: str
) -> None:
    stack = start_stack(engine_url, **NO_CAP)
    with open_redis(stack.redis_url) as redis, closing(queues_of(stack)) as queues:
        put_unverified(redis, 2000)
        redis.config_set("maxmemory", memory(redis) - MIB)  # more is used than allowed: Redis refuses writes
        until(
            lambda: asyncio.run(post_all(stack.notify_url, bodies(1))) == {200: 1},
            what="a stored callback",
            of=stack.programs,
        )
        until(lambda: len(queues.decisions()) == 1, what="the decision", of=stack.programs)
        assert 0 < len(MessageSet(redis, "faceid", "unverified")) < 2000
        until(lambda: stack.workers[0].logged("unverified.trimmed"), what="the log line", of=stack.programs)
