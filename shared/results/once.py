"""Drop repeated messages: the id is recorded in the same transaction as the effect of the message.

Two systems can't be changed in one step: a crash in between leaves one of them changed alone. So these helpers record
the id in the system that has the effect. For an effect elsewhere, such as a mail or an API call, pass the id on as the
idempotency key.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, Protocol

from redis import Redis
from redis.client import Pipeline

DAY: Final = 86_400


class Cursor(Protocol):
    """The part of a DB-API cursor that is used."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement wrote."""

    def execute(self, statement: str, values: Sequence[Any], /) -> object:
        """Run a statement."""


class OnceInSql:
    """For effects in an SQL database that has `ON CONFLICT DO NOTHING`, such as PostgreSQL and SQLite.

        once = OnceInSql("billing", "%s")

        def handle(decision: Decision) -> None:
            with database.transaction(), database.cursor() as cursor:
                if once.first(cursor, decision.id):
                    cursor.execute("INSERT INTO ...")

    Create the table with `TABLE`. Delete rows whose `handled_at` is older than FACEID_RETENTION_DAYS.
    """

    TABLE: Final = (
        "CREATE TABLE IF NOT EXISTS faceid_handled ("
        "consumer TEXT NOT NULL, id TEXT NOT NULL, handled_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, "
        "PRIMARY KEY (consumer, id))"
    )

    def __init__(self, consumer: str, placeholder: Literal["?", "%s"]) -> None:
        """`consumer`: its name, for several in one database; `placeholder`: `?` for sqlite3, `%s` for psycopg."""
        self._consumer = consumer
        self._insert = (
            f"INSERT INTO faceid_handled (consumer, id) VALUES ({placeholder}, {placeholder}) ON CONFLICT DO NOTHING"  # noqa: S608 - one of two literals
        )

    def first(self, cursor: Cursor, event_id: str) -> bool:
        """Record the id in the open transaction. False: it is recorded already, so leave out the effect."""
        cursor.execute(self._insert, (self._consumer, event_id))
        return cursor.rowcount == 1


class OnceInRedis:
    """For effects in Redis.

    once = OnceInRedis(redis, "billing")

    def handle(decision: Decision) -> None:
        with once(decision.id) as commands:
            if commands is not None:
                commands.hincrby("outcomes", decision.outcome, 1)
    """

    def __init__(self, redis: "Redis", consumer: str, seconds: int = 30 * DAY) -> None:
        """`consumer`: its name, for several in one Redis; `seconds`: how long an id is remembered."""
        self._redis = redis
        self._consumer = consumer
        self._seconds = seconds

    @contextmanager
    def __call__(self, event_id: str) -> Iterator["Pipeline | None"]:
        """A transaction that runs at the end of the block and records the id too; None when the id is recorded already.

        An exception in the block leaves nothing in Redis. Raises redis.WatchError when another consumer recorded the id
        meanwhile, or the connection broke: the next attempt finds out whether the transaction ran.
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
