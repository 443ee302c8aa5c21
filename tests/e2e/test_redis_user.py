"""The pipeline and its commands need no more of Redis than the user that the documentation creates."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.commands import Faceid
from tests.support.load import bodies, decisions, post_all
from tests.support.markdown import read
from tests.support.queues import is_idle
from tests.support.servers import RedisServer
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
PASSWORD: Final = "made-up"
COUNT: Final = 20
FORGED: Final = [b"data=%d&sign=y" % number for number in range(3)]
OPTIONAL: Final = {"config|get"}
"""What the doctor asks for and does without."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer().start()
    [line] = [line for line in read("docs/how-to/redis-with-replicas.md").splitlines() if "ACL SETUSER" in line]
    with server.client() as admin:
        admin.execute_command(*line.replace("PASSWORD", PASSWORD).split())
    yield server
    server.stop()


def denied(server: RedisServer) -> set[str]:
    """What the server has refused to any user so far."""
    with server.client() as admin:
        rows: Any = admin.acl_log()
    return {row["object"] for row in rows}


def test_the_documented_user_can_run_the_whole_pipeline(tmp_path: Path, server: RedisServer) -> None:
    url = server.url.replace("://", f"://faceid:{PASSWORD}@")
    stack = new_stack(tmp_path / "stack", redis_url=url, settings={"FACEID_ALERT_BAD_SIGNATURE_MIN": "1"})
    with stack.running(), closing(server.client()) as redis:
        assert set(asyncio.run(post_all(stack.notify_url, [*bodies(COUNT), *FORGED]))) == {200}
        until(
            lambda: len(decisions(redis)) == COUNT and redis.zcard("faceid:unverified") and is_idle(redis),
            what="every decision",
            of=stack.programs,
        )
        until(lambda: redis.exists("faceid.alerts"), what="an alert", of=stack.programs)
        codes = run_commands(Faceid(stack.env), decisions(redis)[0]["biz_id"])
    assert set(codes.values()) <= {0, 1}, codes  # 3: Redis refused a command
    assert denied(server) <= OPTIONAL


def run_commands(faceid: Faceid, biz_id: str) -> dict[str, int]:
    """Exit codes by command."""
    commands = (
        *("status", "doctor", "dead list", "dead replay --all", "dead drop --all"),
        *("unverified list", "unverified replay --all", "unverified drop --all"),
        *(f"case show {biz_id}", f"case redecide {biz_id} --note x", "results resend --all"),
    )
    return {command: faceid(*command.split()).code for command in commands}


def test_the_documented_user_can_touch_no_other_keys(server: RedisServer) -> None:
    with server.client() as redis:
        redis.execute_command("AUTH", "faceid", PASSWORD)
        for command in (("GET", "other"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("EVAL", "return 1", 1, "other")):
            with pytest.raises(Exception, match="no permissions"):
                redis.execute_command(*command)
