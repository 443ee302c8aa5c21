"""What comes without a signature, through real processes: unsigned returns by GET, and floods of rubbish."""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from pyreqwest.client import Client
from redis import Redis

from deploy.local.stack import DEMO_KEY, DEMO_SECRET, Stack
from deploy.simulator.driver.browser import Browser, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults, ResultFault
from shared.ledger.message_set import MessageSet
from tests.support.load import CALLBACKS, decisions, post, signed
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

CAP = 10
SETTINGS = {
    "FACEID_UNVERIFIED_MAX": str(CAP),
    "FACEID_HINT_DELAY_SECONDS": "0.2",
    "FACEID_READ_SPACING_SECONDS": "0.1",
}
QUERIES = [
    "biz_id={coded}",
    "biz_id={raw}",
    "biz_id={coded}&order=7",
    "order=7&biz_id={coded}",
    "order=7&biz_id={raw}&x=1",
    "promo=100%&biz_id={coded}&",
]
"""Where the vendor puts the biz_id, its comma encoded or as it is."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with new_stack(
        tmp_path_factory.mktemp("third_parties"), worker_stages=((),), settings=SETTINGS
    ).running() as running:
        yield running


@pytest.fixture(scope="module")
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


def over_http(work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with http_client() as http:
            return await work(http)

    return asyncio.run(run())


async def unannounced(stack: Stack, http: Client, *get_result: ResultFault) -> str:
    """The biz_id of a passed verification that FaceID has told nobody of."""
    base = f"{stack.simulator_url}/faceid/lite"
    order = {
        "api_key": DEMO_KEY,
        "api_secret": DEMO_SECRET,
        "notify_url": stack.notify_url,
        "return_url": stack.return_url,
        "biz_no": uuid4().hex,
        "comparison_type": "0",
        "uuid": "user",
        "image_ref1": "photo",
    }
    token = await get_token(http, base, order)
    silent = Faults(lose_notify=True, lose_return=True, get_result=get_result)
    await ControlClient(http, stack.simulator_url).assign(token.biz_id, "pass", silent)
    await Browser(http, base).verify(token.token)
    return token.biz_id


async def come_back(stack: Stack, http: Client, biz_id: str, query: str = "biz_id={coded}") -> int:
    """The user's browser comes back by GET."""
    url = f"{stack.return_url}?{query.format(coded=quote(biz_id, safe=''), raw=biz_id)}"
    return (await http.get(url).build().send()).status


def decided(redis: "Redis", biz_id: str) -> list[tuple[str, bool]]:
    return [(one["outcome"], one["reconciled"]) for one in decisions(redis) if one["biz_id"] == biz_id]


def reads(redis: "Redis", biz_id: str) -> int:
    return int(redis.hget(f"faceid:case:{{default}}:{biz_id}", "reads") or 0)


def test_a_get_return_is_decided_by_getresult_wherever_its_biz_id_stands(stack: Stack, redis: "Redis") -> None:
    async def play(http: Client) -> list[str]:
        ids = [await unannounced(stack, http) for _ in QUERIES]
        assert [await come_back(stack, http, *each) for each in zip(ids, QUERIES, strict=True)] == [200] * len(ids)
        return ids

    ids: list[str] = over_http(play)
    until(lambda: all(decided(redis, one) for one in ids), of=stack.programs)
    assert [decided(redis, one) for one in ids] == [[("APPROVED", True)]] * len(ids)


def test_unsigned_returns_leave_the_last_read_to_signed_evidence(stack: Stack, redis: "Redis") -> None:
    async def return_unsigned(http: Client) -> str:
        biz_id = await unannounced(stack, http, ResultFault(kind="internal-error", times=2))
        for _ in range(5):
            await come_back(stack, http, biz_id)
        return biz_id

    biz_id: str = over_http(return_unsigned)
    until(lambda: reads(redis, biz_id) == 2 and redis.zcard("faceid:delayed") == 0, of=stack.programs)
    assert decided(redis, biz_id) == []

    payload = copy.deepcopy(CALLBACKS["clean-pass"])
    payload["biz_info"] |= {"biz_id": biz_id}
    assert over_http(lambda http: post(http, stack.notify_url, signed(payload))) == 200
    until(lambda: bool(decided(redis, biz_id)), of=stack.programs)
    assert reads(redis, biz_id) == 3
    ((outcome, reconciled),) = decided(redis, biz_id)
    assert (outcome, reconciled) in {("APPROVED", True), ("REVIEW", True)}  # the payload is not quite the vendor's


def test_of_a_flood_of_rubbish_the_newest_is_kept_and_the_rest_counted(stack: Stack, redis: "Redis") -> None:
    flood = [f"rubbish={number:03}".encode() for number in range(3 * CAP)]

    async def pour(http: Client) -> set[int]:
        return {await post(http, stack.notify_url, body) for body in flood}

    def dropped() -> int:
        lines = stack.workers[0].log_file.read_text().splitlines()
        return sum(json.loads(line)["count"] for line in lines if "unverified.trimmed" in line)

    assert over_http(pour) == {200}
    message_set = MessageSet(redis, "faceid", "unverified")
    until(lambda: dropped() == len(flood) - CAP, of=stack.programs)
    assert {item.message.body for item in message_set if item.message} == set(flood[-CAP:])
