"""Which errors of Redis a command gets again and again."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.redis_servers.refusals import refusal_code

WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ResponseError(WRONGTYPE), "WRONGTYPE"),
        (WRONGTYPE, "WRONGTYPE"),
        (WRONGTYPE.encode(), "WRONGTYPE"),
        ("ERR hash value is not an integer", "ERR"),
        (ResponseError("hash value is not an integer"), "ERR"),
    ],
)
def test_a_refusal_for_good_has_its_code(error: object, code: str) -> None:
    assert refusal_code(error) == code


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("away"),
        RedisTimeoutError("slow"),
        OutOfMemoryError("command not allowed"),
        ReadOnlyError("replica"),
        NoPermissionError("no permission"),
        ResponseError("MISCONF Errors writing to the AOF file"),
        "OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Error running script: -READONLY You can't write against a read only replica",
        b"NOREPLICAS Not enough good replicas to write.",
        None,
    ],
)
def test_any_other_error_is_no_refusal(error: object) -> None:
    assert refusal_code(error) == ""
