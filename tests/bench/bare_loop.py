"""The limit: redis-py in a loop that reads a batch, writes a result for each and acknowledges them in one transaction.

`python -m tests.bench.bare_loop` does no work on what it moves; with the word `work` it judges each callback as
everybody does. No ledger, no lease, no retry, no shutdown: nobody could run this.
"""

import sys
from typing import Any, Final

from redis import Redis

from tests.bench.work import REDIS_URL, RESULTS, judged

CALLBACKS: Final = "bench:callbacks"
GROUP: Final = "bare"
BATCH: Final = 200


def loop(redis: Any, work: bool) -> None:
    """For ever."""
    redis.xgroup_create(CALLBACKS, GROUP, id="0", mkstream=True)
    while True:
        for _, entries in redis.xreadgroup(GROUP, "one", {CALLBACKS: ">"}, count=BATCH, block=1000):
            move(redis, entries, work)


def move(redis: Any, entries: list[tuple[bytes, dict[bytes, bytes]]], work: bool) -> None:
    """One batch on."""
    ids = [entry for entry, _ in entries]
    bodies = [fields[b"body"] for _, fields in entries]
    with redis.pipeline(transaction=True) as pipe:
        for result in (judged(body.decode()) for body in bodies) if work else bodies:
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
