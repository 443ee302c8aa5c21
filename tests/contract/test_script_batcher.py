"""Many calls of one script are one command, and still each has its own answer."""

from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from shared.ledger.script_batcher import MAX_CALLS, ScriptBatcher
from tests.support.redis_clients import open_async_redis, open_redis

NOTE = "redis.call('RPUSH', KEYS[1], ARGV[1])\nif ARGV[2] == 'quiet' then return 0 end\nreturn {KEYS[1], ARGV[1]}"
COUNT = "return redis.call('LLEN', KEYS[1])"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "note.lua").write_text(NOTE)
    (tmp_path / "count.lua").write_text(COUNT)
    return tmp_path


async def test_every_call_gets_its_own_reply_in_order(any_redis_url: str, folder: Path) -> None:
    async with open_async_redis(any_redis_url) as redis:
        calls = [("note", (f"list:{n}",), (n, "loud")) for n in range(2 * MAX_CALLS + 1)]
        answers = await ScriptBatcher(redis, folder).run(calls)
    assert answers == [[f"list:{n}".encode(), str(n).encode()] for n in range(2 * MAX_CALLS + 1)]


async def test_calls_of_one_script_run_in_their_order(any_redis_url: str, folder: Path) -> None:
    async with open_async_redis(any_redis_url) as redis:
        await ScriptBatcher(redis, folder).run([("note", ("list",), (n, "quiet")) for n in range(5)])
        assert await redis.lrange("list", 0, -1) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_refused_call_does_not_affect_the_others(any_redis_url: str, folder: Path) -> None:
    with open_redis(any_redis_url) as redis:
        redis.set("no list", "text")
    async with open_async_redis(any_redis_url) as client:
        keys = ("list:1", "no list", "list:2")
        one, refused, other = await ScriptBatcher(client, folder).run(
            [("note", (key,), ("x", "quiet")) for key in keys]
        )
    assert (one, other) == (0, 0)
    assert isinstance(refused, ResponseError)
    assert "WRONGTYPE" in str(refused)


async def test_scripts_are_loaded_again_after_the_server_lost_them(any_redis_url: str, folder: Path) -> None:
    async with open_async_redis(any_redis_url) as redis:
        scripts = ScriptBatcher(redis, folder)
        await scripts.run([("note", ("list",), ("x", "quiet")), ("count", ("list",), ())])
        await redis.script_flush()
        assert await scripts.run([("count", ("list",), ()), ("note", ("list",), ("y", "quiet"))]) == [1, 0]


@pytest.mark.server
async def test_many_calls_are_one_command(redis_url: str, folder: Path) -> None:
    async with open_async_redis(redis_url) as redis:
        scripts = ScriptBatcher(redis, folder)
        await scripts.run([("count", ("list",), ())])
        await redis.config_resetstat()
        await scripts.run([("count", (f"list:{n}",), ()) for n in range(MAX_CALLS)])
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1


async def test_a_server_that_is_away_raises_redis_error(folder: Path) -> None:
    async with open_async_redis("redis://127.0.0.1:1/0", retry=None) as redis:
        with pytest.raises(RedisError):
            await ScriptBatcher(redis, folder).run([("count", ("list",), ())])


async def test_a_write_that_a_full_redis_6_refuses_is_named_as_redis_7_names_it(
    any_redis_url: str, tmp_path: Path
) -> None:
    text = "ERR Error running script: @user_script:1: -OOM command not allowed when used memory > 'maxmemory'."
    (tmp_path / "full.lua").write_text(f'return redis.error_reply("{text}")')
    async with open_async_redis(any_redis_url) as redis:
        (answer,) = await ScriptBatcher(redis, tmp_path).run([("full", ("key",), ())])
    assert isinstance(answer, OutOfMemoryError)
