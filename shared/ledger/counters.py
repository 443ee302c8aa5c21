"""What has happened in an account lately: counts by the minute, which expire by themselves.

Whatever is counted is counted in the script or the move that writes it, so that a repeat counts as little as it writes.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, cast, get_args

from redis import Redis

from shared.ledger.case_key import COUNTER_SECONDS, counter_key
from shared.ledger.message_set import Command

KEPT: Final = 7200
"""Seconds after its last change that a count is forgotten; known to the scripts in `lua/`."""

Counted = Literal["verified", "bad_signature", "clean", "attacked"]
"""Callbacks that FaceID signed and that none of the account's secrets signed; decisions without and with an attack."""


def count_commands(prefix: str, account: str, what: Counted, now: float) -> tuple[Command, ...]:
    """The Redis commands that count one more."""
    key = counter_key(prefix, account, now)
    return (("HINCRBY", key, what, 1), ("EXPIRE", key, KEPT))


def read_counters(
    redis: "Redis", prefix: str, accounts: Iterable[str], now: float, window: float
) -> dict[str, Counter[Counted]]:
    """What was counted of each account in the last `window` seconds, and up to a minute before."""
    names, times = list(accounts), [now - age for age in range(0, int(window) + COUNTER_SECONDS, COUNTER_SECONDS)]
    what = get_args(Counted)
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            for time in times:
                pipe.hmget(counter_key(prefix, name, time), what)
        rows = cast("list[list[bytes | None]]", pipe.execute())
    counters = {name: Counter[Counted]() for name in names}
    for place, row in enumerate(rows):
        counters[names[place // len(times)]].update(
            {count: int(value) for count, value in zip(what, row, strict=True) if value is not None}
        )
    return counters
