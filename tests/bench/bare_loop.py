"""The upper limit: redis-py reads a batch, writes a result for each, and acknowledges them in one transaction.

`python -m tests.bench.bare_loop` only moves the callbacks. With the word `work` it decides each of them, as all
pipelines do. It has no ledger, no lease, no retry and no shutdown, so it can't be used in production.
"""

import sys
from typing import Any, Final

from redis import Redis

from tests.bench.work import REDIS_URL, RESULTS, decide_callback

CALLBACKS: Final = "bench:callbacks"
GROUP: Final = "bare"
BATCH: Final = 200


def loop(redis: Any, work: bool) -> None:
    """Read and move batches for ever."""
    redis.xgroup_create(CALLBACKS, GROUP, id="0", mkstream=True)
    while True:
        for _, entries in redis.xreadgroup(GROUP, "one", {CALLBACKS: ">"}, count=BATCH, block=1000):
            move(redis, entries, work)


def move(redis: Any, entries: list[tuple[bytes, dict[bytes, bytes]]], work: bool) -> None:
    """Move one batch."""
    ids = [entry for entry, _ in entries]
    bodies = [fields[b"body"] for _, fields in entries]
    with redis.pipeline(transaction=True) as pipe:
        for result in (decide_callback(body.decode()) for body in bodies) if work else bodies:
            if result is not None:
                pipe.xadd(RESULTS, {"body": result})
        pipe.xack(CALLBACKS, GROUP, *ids)
        pipe.xdel(CALLBACKS, *ids)
        pipe.execute()


def send(redis: Any, bodies: list[str]) -> None:
    """Put callbacks where the loop reads them."""
    with redis.pipeline(transaction=False) as pipe:
        for body in bodies:
            pipe.xadd(CALLBACKS, {"body": body})
        pipe.execute()


if __name__ == "__main__":
    loop(Redis.from_url(REDIS_URL, socket_timeout=5.0, protocol=2), "work" in sys.argv[1:])
