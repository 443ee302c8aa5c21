"""Broken and hostile forms through real processes: answered, stored unchanged, and replayed after a fix."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pyreqwest.client import Client
from redis import Redis

from deploy.local.stack import DEMO_SECRET, Stack
from deploy.simulator.driver.browser import http_client
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.hostile_bodies import BOUNDARY, MULTIPART, Genuine, sign
from tests.support.load import bodies, decisions
from tests.support.payloads import CALLBACKS, FORM
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

TEXT = json.dumps(CALLBACKS["clean-pass"]).encode()
PAIR = Genuine(TEXT, sign(DEMO_SECRET, TEXT)).body
DATA, SIGN = PAIR.split(b"&")


def multipart(boundary: str) -> bytes:
    fields = {"data": TEXT.decode(), "sign": sign(DEMO_SECRET, TEXT)}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    return ("".join(parts) + f"--{boundary}--\r\n").encode()


@dataclass(frozen=True)
class Message:
    """A request body, and the reason for which it is unverified."""

    content_type: str
    body: bytes
    reason: str = "malformed"
    encoding: str = ""


POSTS: dict[str, Message] = {
    "a doubled data": Message(FORM, PAIR + b"&" + DATA),
    "a doubled sign": Message(FORM, SIGN + b"&" + PAIR),
    "no sign": Message(FORM, DATA),
    "no data": Message(FORM, SIGN),
    "broken percent-encoding": Message(FORM, PAIR + b"&x=%zz"),
    "a gzip body": Message(FORM, gzip.compress(PAIR, mtime=0), encoding="gzip"),
    "a lying boundary": Message(f"multipart/form-data; boundary={BOUNDARY}x", multipart(BOUNDARY)),
    "a multipart body cut short": Message(MULTIPART, multipart(BOUNDARY)[:-30]),
    "a wrong charset": Message(FORM + "; charset=utf-16", PAIR),
    "ten thousand fields": Message(FORM, b"x=1&" * 10_000 + PAIR),
    "every byte there is": Message("application/octet-stream", bytes(range(256)) * 4),
    "signed, and no JSON": Message(FORM, Genuine(b"{", sign(DEMO_SECRET, b"{")).body, "bad_signature"),
    "a foreign signature": Message(FORM, Genuine(TEXT, sign("guessed", TEXT)).body, "bad_signature"),
}
KEPT = 16_384
"""Bytes of an unverified body that are kept. One of these forms is longer, so it can't be replayed."""
GENUINE = 3
"""Good callbacks among them. With a wrong secret they are unverified too."""


async def post_all(stack: Stack) -> dict[str, int]:
    async def post(http: Client, name: str, one: Message) -> tuple[str, int]:
        request = http.post(stack.notify_url).header("content-type", one.content_type).body_bytes(one.body)
        if one.encoding:
            request = request.header("content-encoding", one.encoding)
        return name, (await request.build().send()).status

    good = {f"good {number}": Message(FORM, body) for number, body in enumerate(bodies(GENUINE), 1)}
    async with http_client() as http:
        return dict(await asyncio.gather(*(post(http, name, one) for name, one in (POSTS | good).items())))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline whose operator has set a wrong secret."""
    wrong = {"FACEID_API_SECRETS": "a_mistyped_secret", "FACEID_RECONCILE": "never"}
    with new_stack(tmp_path_factory.mktemp("forms"), worker_stages=((),), settings=wrong).running() as running:
        yield running


@pytest.fixture(scope="module")
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


@pytest.fixture(scope="module")
def statuses(stack: Stack, redis: "Redis") -> dict[str, int]:
    """The HTTP statuses, after the worker has judged every callback."""
    answered = asyncio.run(post_all(stack))
    until(lambda: redis.zcard("faceid:unverified") == len(answered), what="every callback", of=stack.programs)
    return answered


@pytest.fixture(scope="module")
def kept(statuses: dict[str, int], redis: "Redis") -> dict[bytes, StoredMessage]:
    """The unverified callbacks, by their body."""
    return {item.message.body: item for item in MessageSet(redis, "faceid", "unverified") if item.message}


@pytest.mark.parametrize("name", POSTS)
def test_a_hostile_form_is_answered_and_kept_byte_for_byte(
    name: str, statuses: dict[str, int], kept: dict[bytes, StoredMessage]
) -> None:
    message = POSTS[name]
    item = kept[message.body[:KEPT]]
    assert statuses[name] == 200
    assert item.message is not None
    assert item.message.content_type == message.content_type
    assert (item.stage, item.reason, item.account) == ("verify", message.reason, "default")


def test_with_a_wrong_secret_good_callbacks_are_kept_too(kept: dict[bytes, StoredMessage]) -> None:
    assert [kept[body].reason for body in bodies(GENUINE)] == ["bad_signature"] * GENUINE


def test_the_listing_counts_them_by_reason(stack: Stack, kept: dict[bytes, StoredMessage]) -> None:
    listed = Faceid(stack.env)("unverified", "list", "--json").records
    assert len(listed) == len(kept) == len(POSTS) + GENUINE
    assert {entry["reason"] for entry in listed} == {"bad_signature", "malformed"}


def test_once_the_secret_is_fixed_a_replay_decides_what_was_good_and_keeps_the_rest(
    stack: Stack, redis: "Redis", kept: dict[bytes, StoredMessage], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for worker in stack.workers:
        worker.stop()
    fixed = new_stack(
        tmp_path_factory.mktemp("fixed"),
        redis_url=stack.redis_url,
        worker_stages=((),),
        settings={"FACEID_RECONCILE": "never"},
    )
    with fixed.running():
        ran = Faceid(fixed.env)("unverified", "replay", "--all")
        left = {body for body, item in kept.items() if body not in bodies(GENUINE)}
        until(
            lambda: len(decisions(redis)) == GENUINE and redis.zcard("faceid:unverified") == len(left),
            what="every callback",
            of=fixed.programs,
        )
        again = {item.message.body: item for item in MessageSet(redis, "faceid", "unverified") if item.message}

    assert (ran.code, ran.err.splitlines()[0]) == (1, "1 refused (BODY_SHORTENED) and not replayed.")
    assert {decision["biz_id"] for decision in decisions(redis)} == {biz_id(number) for number in (1, 2, 3)}
    assert set(again) == left
    assert again[POSTS["signed, and no JSON"].body].reason == "malformed"
    assert again[POSTS["a foreign signature"].body].reason == "bad_signature"
