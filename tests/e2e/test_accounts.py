"""Several accounts through real processes: each has its own key, secrets, base URL, policy and `reconcile`."""

import asyncio
import copy
import json
import time
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from redis import Redis

from deploy.local.stack import Stack
from deploy.simulator.driver.browser import Browser, Token, get_token, http_client
from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from shared.messaging.stored_message import StoredMessage
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.load import CALLBACKS, alerts, bodies, decisions, post, signed
from tests.support.payloads import FORM, new_envelope
from tests.support.planted import KEYS, OLD_SOUTH, SECRETS
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

LENIENT = 'version = "lenient-1"\n[faces]\napprove_rate = "1e-3"\nreview_rate = "1e-3"\n'


def accounts_file(folder: Path, base_url: str) -> Path:
    """Write the accounts file: north always reconciles, south never, and east has a wrong base URL."""
    (folder / "lenient.toml").write_text(LENIENT)
    tables = {
        "north": {"base_url": base_url, "api_secrets": SECRETS["north"]},
        "south": {
            "api_secrets": f"{SECRETS['south']},{OLD_SOUTH}",
            "reconcile": "never",
            "policy": str(folder / "lenient.toml"),
        },
        "east": {"base_url": base_url.replace("faceid/lite", "wrong"), "api_secrets": SECRETS["east"]},
    }
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", f'api_key = "{KEYS[name]}"', *(f'{key} = "{value}"' for key, value in table.items())]
    path = folder / "accounts.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("accounts")
    settings = {
        "FACEID_ACCOUNTS": str(folder / "accounts.toml"),
        "FACEID_SIMULATOR_ACCOUNTS": json.dumps({KEYS[name]: SECRETS[name] for name in KEYS}),
        "FACEID_BREAKER_REST_SECONDS": "1",
        "FACEID_HINT_DELAY_SECONDS": "0.2",
    }
    stack = new_stack(folder, worker_stages=((),), settings=settings)
    accounts_file(folder, stack.env["FACEID_BASE_URL"])
    with stack.running() as running:
        yield running


@pytest.fixture(scope="module")
def redis(stack: Stack) -> "Iterator[Redis]":
    with open_redis(stack.redis_url) as client:
        yield client


def url(stack: Stack, account: str, channel: str = "notify") -> str:
    return f"{stack.ingress_url}/callbacks/{account}/{channel}"


def send(stack: Stack, account: str, body: bytes) -> int:
    async def send() -> int:
        async with http_client() as http:
            return await post(http, url(stack, account), body)

    return asyncio.run(send())


def verify_user(stack: Stack, account: str) -> Token:
    """Play one verification of this account. Returns its token."""
    order = {
        "api_key": KEYS[account],
        "api_secret": SECRETS[account],
        "notify_url": url(stack, account),
        "return_url": url(stack, account, "return"),
        "biz_no": uuid4().hex,
        "comparison_type": "0",
        "uuid": "user",
        "image_ref1": "photo",
    }

    async def verify() -> Token:
        async with http_client() as http:
            token = await get_token(http, f"{stack.simulator_url}/faceid/lite", order)
            await Browser(http, f"{stack.simulator_url}/faceid/lite").verify(token.token)
            return token

    return asyncio.run(verify())


def decided(stack: Stack, redis: "Redis", biz_id: str) -> dict[str, Any]:
    """Wait for the decision on a case."""
    until(lambda: bool(decisions(redis, biz_id)), what=f"a decision on {biz_id}", of=stack.programs)
    return decisions(redis, biz_id)[0]


def payload(name: str, number: int) -> dict[str, Any]:
    """The callback vector `name` with the biz_id of case `number`."""
    made = copy.deepcopy(CALLBACKS[name])
    made["biz_info"]["biz_id"] = biz_id(number)
    return made


def stored(redis: "Redis", name: Any, account: str) -> list[StoredMessage]:
    """The messages of this account in the message set `name`."""
    return [item for item in MessageSet(redis, "faceid", name) if item.account == account]


def test_each_account_reads_results_with_its_own_key_and_secret(stack: Stack, redis: "Redis") -> None:
    decision = decided(stack, redis, verify_user(stack, "north").biz_id)
    assert (decision["account"], decision["outcome"], decision["reconciled"]) == ("north", "APPROVED", True)


def test_each_account_has_its_own_policy_and_reconcile_setting(stack: Stack, redis: "Redis") -> None:
    between = "between-1e-3-and-1e-4"
    assert send(stack, "south", signed(payload(between, 1), SECRETS["south"])) == 200
    assert send(stack, "north", signed(payload(between, 2), SECRETS["north"])) == 200
    south, north = decided(stack, redis, biz_id(1)), decided(stack, redis, biz_id(2))
    assert (south["outcome"], south["policy"]["version"]) == ("APPROVED", "lenient-1")
    assert (north["outcome"], north["policy"]["version"]) == ("REVIEW", "default-1")
    assert [reason["code"] for reason in south["reasons"]] == ["FACE_MATCHED"]
    assert [reason["code"] for reason in north["reasons"]] == ["FACE_BETWEEN_THRESHOLDS", "NOT_RECONCILED"]


@pytest.mark.parametrize(("account", "other"), list(permutations(KEYS, 2)))
def test_another_accounts_secret_verifies_no_callback(stack: Stack, redis: "Redis", account: str, other: str) -> None:
    body = signed(payload("clean-pass", 3), SECRETS[other])
    before = len(stored(redis, "unverified", account))
    assert send(stack, account, body) == 200
    until(lambda: len(stored(redis, "unverified", account)) == before + 1, of=stack.programs)
    (found,) = [item for item in stored(redis, "unverified", account) if item.message and item.message.body == body]
    assert found.reason == "bad_signature"
    assert decisions(redis, biz_id(3)) == []


def test_the_same_biz_id_is_a_separate_case_for_each_account(stack: Stack, redis: "Redis") -> None:
    for account, name in (("south", "clean-pass"), ("north", "liveness-fail")):
        assert send(stack, account, signed(payload(name, 4), SECRETS[account])) == 200
    until(lambda: len(decisions(redis, biz_id(4))) == 2, what="both decisions", of=stack.programs)
    found = {one["account"]: one["outcome"] for one in decisions(redis, biz_id(4))}
    assert found == {"south": "APPROVED", "north": "REJECTED"}


def test_a_wrong_base_url_pauses_only_its_own_account(stack: Stack, redis: "Redis") -> None:
    waiting = [verify_user(stack, "east").biz_id for _ in range(4)]
    until(lambda: bool(alerts(redis)), what="the alert", of=stack.programs)
    other = decided(stack, redis, verify_user(stack, "north").biz_id)
    (alert,) = alerts(redis)
    assert (alert.kind, alert.account, alert.detail) == ("breaker_opened", "east", {"cause": "API_NOT_FOUND"})
    assert other["outcome"] == "APPROVED"
    assert not {one["biz_id"] for one in decisions(redis)} & set(waiting)
    cases = [redis.hget(f"faceid:case:{{east}}:{one}", "reads") for one in waiting]
    assert set(cases) <= {b"0", None}


@pytest.mark.parametrize(
    ("secret", "index", "words"),
    [(SECRETS["south"], 0, "signed with the newest secret"), (OLD_SOUTH, 1, "signed with secret 2 of the list")],
)
def test_a_case_shows_which_of_two_secrets_signed_its_callback(
    stack: Stack, redis: "Redis", secret: str, index: int, words: str
) -> None:
    number = 10 + index
    assert send(stack, "south", signed(payload("clean-pass", number), secret)) == 200
    assert decided(stack, redis, biz_id(number))["outcome"] == "APPROVED"
    case = cast("dict[bytes, bytes]", redis.hgetall(f"faceid:case:{{south}}:{biz_id(number)}"))
    (arrival,) = [value for name, value in case.items() if name.startswith(b"arrival:")]
    assert arrival.split(b"|")[-1] == str(index).encode()
    ran = Faceid(stack.env)("case", biz_id(number), "--json")
    assert ran.code == 0
    assert words in ran.out
    assert secret not in ran.out


def test_the_ingress_answers_404_for_an_unknown_account(stack: Stack) -> None:
    assert send(stack, "west", bodies(1)[0]) == 404


def test_an_account_unknown_to_the_worker_makes_a_dead_letter(stack: Stack, redis: "Redis") -> None:
    """This happens when an ingress has newer settings than a worker."""
    envelope = new_envelope("west", "notify", "POST", bodies(1, first=20)[0], FORM, "", time.time())
    publisher = open_publisher(stack.redis_url, 5.0)
    publisher.publish([envelope.to_message("faceid.callbacks")])
    publisher.close()
    until(lambda: bool(stored(redis, "dead", "west")), what="the dead letter", of=stack.programs)
    (dead_letter,) = stored(redis, "dead", "west")
    assert (dead_letter.stage, dead_letter.reason, dead_letter.id) == ("verify", "unknown_account", envelope.id)
    assert dead_letter.message is not None
    assert dead_letter.message.body == envelope.body
