"""A repeat has no effect, whatever happened to the one before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis import Redis, WatchError

from shared.results import OnceInRedis, OnceInSql
from tests.support.redis_clients import open_redis

ID = "353b28c4-6b25-5d68-8685-885dbdff7851"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute(OnceInSql.TABLE)
        connection.execute("CREATE TABLE effects (what TEXT)")
        yield connection


@pytest.fixture
def redis(any_redis_url: str) -> Iterator[Redis]:
    with open_redis(any_redis_url) as client:
        yield client


def effect(database: sqlite3.Connection, consumer: str = "billing", fail: bool = False) -> bool:
    with database:
        first = OnceInSql(consumer, "?").first(database.cursor(), ID)
        if first:
            database.execute("INSERT INTO effects VALUES ('paid')")
        if fail:
            raise ZeroDivisionError
    return first


def effects(database: sqlite3.Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM effects").fetchone()
    return int(count)


def test_in_sql_a_repeat_is_reported(database: sqlite3.Connection) -> None:
    assert [effect(database), effect(database)] == [True, False]
    assert effects(database) == 1


def test_in_sql_an_effect_that_was_rolled_back_may_be_repeated(database: sqlite3.Connection) -> None:
    with suppress(ZeroDivisionError):
        effect(database, fail=True)
    assert effects(database) == 0
    assert effect(database)


def test_in_sql_each_consumer_has_its_own_marks(database: sqlite3.Connection) -> None:
    assert [effect(database, "billing"), effect(database, "mail")] == [True, True]


def test_in_redis_a_repeat_is_reported(redis: Redis) -> None:
    once = OnceInRedis(redis, "billing")
    for expected in (True, False, False):
        with once(ID) as commands:
            assert (commands is not None) is expected
            if commands is not None:
                commands.incr("effects")
    assert redis.get("effects") == b"1"


def test_in_redis_an_effect_that_fails_leaves_no_trace(redis: Redis) -> None:
    once = OnceInRedis(redis, "billing")
    with suppress(ZeroDivisionError), once(ID) as commands:
        assert commands is not None
        commands.incr("effects")
        raise ZeroDivisionError
    assert redis.keys() == []


def test_in_redis_the_slower_of_two_at_once_raises_and_has_no_effect(redis: Redis) -> None:
    once = OnceInRedis(redis, "billing")

    def overtaken() -> None:
        with once(ID) as slower:
            assert slower is not None
            slower.incr("effects")
            with once(ID) as faster:
                assert faster is not None
                faster.incr("effects")

    with pytest.raises(WatchError):
        overtaken()
    assert redis.get("effects") == b"1"


def test_in_redis_an_id_expires(redis: Redis) -> None:
    with OnceInRedis(redis, "billing", seconds=100)(ID):
        pass
    (key,) = redis.keys()
    assert 0 < redis.ttl(key) <= 100
