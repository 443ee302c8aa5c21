"""Handling a repeat without effect: the id is noted in the same transaction as the effect, or not at all.

An effect in one system and a note of it in another can't be made at once; a kill between the two always leaves one
without the other. So these helpers note the id where the effect is. Where the effect is elsewhere, such as a mail or a
call, hand on the id as the idempotency key of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, Protocol

from redis import Redis
from redis.client import Pipeline

DAY: Final = 86_400


class Cursor(Protocol):
    """What is needed of a DB-API cursor."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement wrote."""

    def execute(self, statement: str, values: Sequence[Any], /) -> object:
        """Run a statement."""


class OnceInSql:
    """Effects in an SQL database that knows `ON CONFLICT DO NOTHING`, as PostgreSQL and SQLite do.

        once = OnceInSql("billing", "%s")

        def handle(decision: Decision) -> None:
            with database.transaction(), database.cursor() as cursor:
                if once.first(cursor, decision.id):
                    cursor.execute("INSERT INTO ...")

    The table is yours to make, by `TABLE`, and to clean by `handled_at`, of what is older than FACEID_RETENTION_DAYS.
    """

    TABLE: Final = (
        "CREATE TABLE IF NOT EXISTS faceid_handled ("
        "consumer TEXT NOT NULL, id TEXT NOT NULL, handled_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
        "PRIMARY KEY (consumer, id))"
    )

    def __init__(self, consumer: str, placeholder: Literal["?", "%s"]) -> None:
        """`consumer` tells several ones of one database apart; `placeholder` is `?` for sqlite3, `%s` for psycopg."""
        self._consumer = consumer
        self._insert = (
            f"INSERT INTO faceid_handled (consumer, id) VALUES ({placeholder}, {placeholder}) ON CONFLICT DO NOTHING"  # noqa: S608 - one of two literals
        )

    def first(self, cursor: Cursor, event_id: str) -> bool:
        """Note the id in the open transaction; False when a committed one has it. Make the effect only if True."""
        cursor.execute(self._insert, (self._consumer, event_id))
        return cursor.rowcount == 1


class OnceInRedis:
    """Effects in the Redis that `redis` talks to.

    once = OnceInRedis(redis, "billing")

    def handle(decision: Decision) -> None:
        with once(decision.id) as commands:
            if commands is not None:
                commands.hincrby("outcomes", decision.outcome, 1)
    """

    def __init__(self, redis: "Redis", consumer: str, seconds: int = 30 * DAY) -> None:
        """`consumer` tells several ones of one Redis apart; an id is remembered for `seconds`."""
        self._redis = redis
        self._consumer = consumer
        self._seconds = seconds

    @contextmanager
    def __call__(self, event_id: str) -> Iterator["Pipeline | None"]:
        """A MULTI that the end of the block runs together with the note of the id; None when the id was noted before.

        An exception in the block leaves no trace in Redis. Raises redis.WatchError when another consumer noted the id
        meanwhile, or the connection broke; nothing of the block was run then by what can be known here, and the next
        attempt finds out.
        """
        key = f"faceid:handled:{self._consumer}:{event_id}"
        with self._redis.pipeline() as commands:
            commands.watch(key)
            if commands.exists(key):
                yield None
                return
            commands.multi()
            yield commands
            commands.set(key, 1, ex=self._seconds)
            commands.execute()
