"""Large posts that nobody has signed, on a small Redis: genuine callbacks are stored and decided all the same."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from shared.ledger.message_set import MessageSet
from tests.support.load import bodies, decisions, post_all
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


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with new_stack(tmp_path / "stack", worker_stages=((),), settings={"FACEID_RECONCILE": "never"}).running() as one:
        with open_redis(one.redis_url) as redis:
            redis.config_set("maxmemory", MEMORY)
        yield one


def test_forty_anonymous_posts_of_the_longest_body_refuse_no_genuine_callback(stack: Stack) -> None:
    with open_redis(stack.redis_url) as redis:
        message_set = MessageSet(redis, "faceid", "unverified")
        rubbish = [b"%03d" % number + b"\xff" * (SIZE - 3) for number in range(POSTS)]
        stored = asyncio.run(post_all(stack.notify_url, rubbish, at_once=1))[200]  # the ingress may refuse large bodies
        assert stored > POSTS / 2
        until(lambda: len(message_set) == stored, what="every post judged", of=stack.programs)

        assert asyncio.run(post_all(stack.notify_url, bodies(GENUINE))) == {200: GENUINE}
        until(lambda: len(decisions(redis)) == GENUINE, what="every decision", of=stack.programs)

        used = int(redis.info("memory")["used_memory"])
        assert used < MEMORY / 4, f"{used / MIB:.1f} MiB"
        for kept in message_set:
            assert kept.message is not None
            assert (len(kept.message.body), kept.body_bytes) == (KEPT, SIZE)
