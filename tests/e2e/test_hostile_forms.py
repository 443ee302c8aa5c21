"""Broken and hostile forms through real processes: stored, answered, kept byte for byte, replayable once mended."""

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
from shared.ledger.message_set import Shelf
from shared.messaging.stored_message import Parked
from tests.support.commands import Faceid
from tests.support.hostile_bodies import BOUNDARY, MULTIPART, Genuine, biz_id, sign
from tests.support.load import bodies, decisions, wait_until
from tests.support.payloads import CALLBACKS, FORM

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
class Post:
    """What is posted, and what it has to be set aside for."""

    content_type: str
    body: bytes
    reason: str = "malformed"
    encoding: str = ""


POSTS: dict[str, Post] = {
    "a doubled data": Post(FORM, PAIR + b"&" + DATA),
    "a doubled sign": Post(FORM, SIGN + b"&" + PAIR),
    "no sign": Post(FORM, DATA),
    "no data": Post(FORM, SIGN),
    "broken percent-encoding": Post(FORM, PAIR + b"&x=%zz"),
    "a gzip body": Post(FORM, gzip.compress(PAIR, mtime=0), encoding="gzip"),
    "a lying boundary": Post(f"multipart/form-data; boundary={BOUNDARY}x", multipart(BOUNDARY)),
    "a multipart body cut short": Post(MULTIPART, multipart(BOUNDARY)[:-30]),
    "a wrong charset": Post(FORM + "; charset=utf-16", PAIR),
    "ten thousand fields": Post(FORM, b"x=1&" * 10_000 + PAIR),
    "every byte there is": Post("application/octet-stream", bytes(range(256)) * 4),
    "signed, and no JSON": Post(FORM, Genuine(b"{", sign(DEMO_SECRET, b"{")).body, "bad_signature"),
    "a foreign signature": Post(FORM, Genuine(TEXT, sign("guessed", TEXT)).body, "bad_signature"),
}
GENUINE = 3
"""Good callbacks beside them, which a wrong secret sets aside too."""


async def post_all(stack: Stack) -> dict[str, int]:
    async def post(http: Client, name: str, one: Post) -> tuple[str, int]:
        request = http.post(stack.notify_url).header("content-type", one.content_type).body_bytes(one.body)
        if one.encoding:
            request = request.header("content-encoding", one.encoding)
        return name, (await request.build().send()).status

    good = {f"good {number}": Post(FORM, body) for number, body in enumerate(bodies(GENUINE), 1)}
    async with http_client() as http:
        return dict(await asyncio.gather(*(post(http, name, one) for name, one in (POSTS | good).items())))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline whose operator has set a wrong secret."""
    wrong = {"FACEID_API_SECRETS": "a_mistyped_secret", "FACEID_RECONCILE": "never"}
    with Stack(tmp_path_factory.mktemp("forms"), worker_stages=((),), settings=wrong).running() as running:
        yield running


@pytest.fixture(scope="module")
def redis(stack: Stack) -> "Iterator[Redis]":
    with Redis.from_url(stack.redis_url) as client:
        yield client


@pytest.fixture(scope="module")
def statuses(stack: Stack, redis: "Redis") -> dict[str, int]:
    """The answers, when all of it has been looked at."""
    answered = asyncio.run(post_all(stack))
    wait_until(lambda: redis.zcard("faceid:unverified") == len(answered))
    return answered


@pytest.fixture(scope="module")
def kept(statuses: dict[str, int], redis: "Redis") -> dict[bytes, Parked]:
    """What was set aside, by its body."""
    return {item.post.body: item for item in Shelf(redis, "faceid", "unverified") if item.post}


@pytest.mark.parametrize("name", POSTS)
def test_a_hostile_form_is_answered_and_kept_byte_for_byte(
    name: str, statuses: dict[str, int], kept: dict[bytes, Parked]
) -> None:
    post = POSTS[name]
    item = kept[post.body]
    assert statuses[name] == 200
    assert item.post is not None
    assert item.post.content_type == post.content_type
    assert (item.stage, item.reason, item.account) == ("verify", post.reason, "default")


def test_with_a_wrong_secret_good_callbacks_are_kept_too(kept: dict[bytes, Parked]) -> None:
    assert [kept[body].reason for body in bodies(GENUINE)] == ["bad_signature"] * GENUINE


def test_the_listing_counts_them_by_reason(stack: Stack, kept: dict[bytes, Parked]) -> None:
    listed = Faceid(stack.env)("unverified", "list", "--json").records
    assert len(listed) == len(kept) == len(POSTS) + GENUINE
    assert {entry["reason"] for entry in listed} == {"bad_signature", "malformed"}


def test_once_the_secret_is_mended_a_replay_decides_what_was_good_and_keeps_the_rest(
    stack: Stack, redis: "Redis", kept: dict[bytes, Parked], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for worker in stack.workers:
        worker.stop()
    mended = Stack(
        tmp_path_factory.mktemp("mended"),
        redis_url=stack.redis_url,
        worker_stages=((),),
        settings={"FACEID_RECONCILE": "never"},
    )
    with mended.running():
        ran = Faceid(mended.env)("unverified", "replay", "--all")
        left = {body for body, item in kept.items() if body not in bodies(GENUINE)}
        wait_until(lambda: len(decisions(redis)) == GENUINE and redis.zcard("faceid:unverified") == len(left))
        again = {item.post.body: item for item in Shelf(redis, "faceid", "unverified") if item.post}

    assert ran.code == 0, ran.err
    assert {decision["biz_id"] for decision in decisions(redis)} == {biz_id(number) for number in (1, 2, 3)}
    assert set(again) == left
    assert again[POSTS["signed, and no JSON"].body].reason == "malformed"
    assert again[POSTS["a foreign signature"].body].reason == "bad_signature"
