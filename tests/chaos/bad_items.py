"""Faults of one item: it can't be read, its settlement is refused, or the log line about it can't be written."""

import asyncio
import json
import resource
import time
from secrets import token_hex
from typing import Final

from redis.exceptions import RedisError

from deploy.simulator.driver.browser import http_client
from shared.ledger.case_key import CaseKey, case_key
from shared.messaging.message import FIELD
from tests.chaos.brokers import PREFIX
from tests.chaos.environment import Environment
from tests.chaos.plan import Injection
from tests.support.load import post, signed

BAD: Final = "chaos-bad"
"""The beginning of an injected item's id."""
REFUSED: Final = "chaos-refused"
"""In the biz_id of an injected callback whose case is a key of a wrong type."""
INTERVAL: Final = 0.5
UNREADABLE: Final = (
    b"{",
    json.dumps({FIELD: 99, "id": "x", "stage": "verify", "at": 1}).encode(),
    b'{"id":"x","stage":"dream","at":1}',
    b'{"id":"x","stage":"verify","at":"soon"}',
)
"""Not JSON, of a newer version, of an unknown stage, with a wrong type."""


async def store_bad_messages(environment: Environment, injection: Injection) -> None:
    """Put items that can't be read into the message sets that workers empty."""
    for number in range(max(1, int(injection.seconds / INTERVAL))):
        await asyncio.to_thread(_store, environment, UNREADABLE[number % len(UNREADABLE)])
        await asyncio.sleep(INTERVAL)


def _store(environment: Environment, raw: bytes) -> None:
    try:
        with environment.ledger as redis:
            for message_set in ("delayed", "outbox"):
                item = f"{BAD}-{token_hex(4)}"
                redis.hset(f"{PREFIX}:{message_set}:items", item, raw)
                redis.zadd(f"{PREFIX}:{message_set}", {item: time.time()})
    except RedisError:
        return  # another fault keeps Redis from taking it


async def refuse_settlements(environment: Environment, injection: Injection) -> None:
    """Post signed callbacks of cases whose key has a wrong type: no worker can settle them as it should."""
    async with http_client() as http:
        for _ in range(max(1, int(injection.seconds / INTERVAL))):
            biz_id = f"{int(time.time())},{REFUSED}-{token_hex(4)}"
            if await asyncio.to_thread(_spoil, environment, biz_id):
                payload = {"status": "OK", "biz_info": {"biz_id": biz_id, "biz_no": biz_id}}
                await post(http, environment.stack.notify_url, signed(payload))
            await asyncio.sleep(INTERVAL)


def _spoil(environment: Environment, biz_id: str) -> bool:
    try:
        with environment.ledger as redis:
            return bool(redis.set(case_key(PREFIX, CaseKey("default", biz_id)), "no hash"))
    except RedisError:
        return False


async def fill_log(environment: Environment, injection: Injection) -> None:
    """Let a process write nothing to its log for a while: the limit of a file's size is 0."""
    pid = environment.processes[injection.target].pid
    _limit_files(pid, 0)
    await asyncio.sleep(injection.seconds)
    _limit_files(pid, resource.RLIM_INFINITY)


def _limit_files(pid: int, size: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    except (ProcessLookupError, PermissionError):
        return  # another fault has ended the process
