"""Which errors of Redis end a connection."""

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ResponseError

from shared.redis_servers.primary import refusal_in


def error(text: str) -> ResponseError:
    """The error that redis-py makes of an answer."""
    made = BaseParser.parse_error(text)
    assert isinstance(made, ResponseError)
    return made


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("READONLY You can't write against a read only replica. script: 9f, on @user_script:7.", "READONLY"),
        ("ERR Error running script (call to f_9f): @user_script:7: -READONLY You can't write", "READONLY"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS"),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", "UNBLOCKED"),
    ],
)
def test_a_server_that_takes_no_writes_ends_the_connection(text: str, code: str) -> None:
    assert refusal_in(error(text)) == code
    assert refusal_in([1, error(text)]) == code


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "UNBLOCKED the stream key no longer exists",
        "CLUSTERDOWN Hash slot not served",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOGROUP No such key",
    ],
)
def test_any_other_error_does_not(text: str) -> None:
    assert refusal_in(error(text)) == ""
    assert refusal_in([b"READONLY is data here", error(text)]) == ""
