"""Counters of recent events of an account, one hash for each minute, which expires.

The script or the move that writes an event also counts it, so a repeated write is not counted twice.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, cast, get_args

from redis import Redis

from shared.ledger.case_key import COUNTER_SECONDS, counter_key
from shared.ledger.message_set import Command

COUNTERS_TTL: Final = 7200
"""Seconds after its last change until a hash of counters expires. `lua/arrive.lua` and `lua/commit.lua` repeat it."""

Counted = Literal["verified", "bad_signature", "clean", "attacked", "refused"]
"""Callbacks with a valid and with an invalid signature; decisions without (`clean`) and with an attack; refused
settlements."""


def count_commands(prefix: str, account: str, event: Counted, now: float) -> tuple[Command, ...]:
    """The Redis commands that count one event."""
    key = counter_key(prefix, account, now)
    return (("HINCRBY", key, event, 1), ("EXPIRE", key, COUNTERS_TTL))


def read_counters(
    redis: "Redis", prefix: str, accounts: Iterable[str], now: float, window: float
) -> dict[str, Counter[Counted]]:
    """The counts of each account in the last `window` seconds, rounded up to whole minutes. `now`: Unix seconds."""
    names, times = list(accounts), [now - age for age in range(0, int(window) + COUNTER_SECONDS, COUNTER_SECONDS)]
    events = get_args(Counted)
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            for time in times:
                pipe.hmget(counter_key(prefix, name, time), events)
        rows = cast("list[list[bytes | None]]", pipe.execute())
    counters = {name: Counter[Counted]() for name in names}
    for index, row in enumerate(rows):
        counters[names[index // len(times)]].update(
            {event: int(value) for event, value in zip(events, row, strict=True) if value is not None}
        )
    return counters
