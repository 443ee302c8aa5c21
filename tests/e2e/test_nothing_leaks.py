"""No secret and no personal data in logs, metrics, listings, answers or exceptions, also when something fails.

The settings and callbacks of a pipeline contain known values. Faults are injected. Then all outputs are searched for
the values, in every encoding.
"""

import asyncio
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from pyreqwest.client import Client
from redis import Redis

from deploy.local.redis_server import RedisServer
from deploy.simulator.driver.browser import Browser, get_token, http_client
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults, ResultFault
from shared.brokers.factory import open_publisher
from shared.ledger.message_set import MessageSet
from shared.messaging.envelope import Envelope
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.hostile_bodies import sign
from tests.support.leaks import leaks_in_logs, search, spellings
from tests.support.load import CALLBACKS, decisions
from tests.support.payloads import FORM, new_envelope
from tests.support.planted import CONFIDENTIAL, EXTRA, NAME, PLANTED
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

SECRET, OLD = PLANTED["api_secret"], PLANTED["an older api_secret"]
SETTINGS: Final = {
    "FACEID_API_KEY": PLANTED["api_key"],
    "FACEID_API_SECRETS": f"{SECRET},{OLD}",
    "FACEID_SIMULATOR_ACCOUNTS": json.dumps({PLANTED["api_key"]: SECRET}),
    "FACEID_READ_SPACING_SECONDS": "0.1,0.2",
    "FACEID_BREAKER_REST_SECONDS": "0.3",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "0.5",
    "FACEID_HINT_DELAY_SECONDS": "0.2",
    "FACEID_LOG_LEVEL": "debug",
}
ENDLESS: Final = ("hang", "broken", "not-json", "internal-error")
ONCE: Final = ("authentication-error", "api-not-found", "data-destroyed", "busy")
SESSIONS: Final[tuple[tuple[str, str, Faults], ...]] = (
    ("pass", "POST", Faults(multipart=True, raw_utf8=True)),
    ("pass", "GET", Faults(lose_notify=True)),
    ("liveness-fail", "POST", Faults(notify_copies=2, then="timeout")),
    ("cancelled", "POST", Faults(forged="altered")),
    ("pass", "POST", Faults(forged="wrong-secret", result="data-source-error")),
    *(("pass", "POST", Faults(get_result=(ResultFault(kind=kind, times=None),))) for kind in ENDLESS),
    *(("pass", "POST", Faults(get_result=(ResultFault(kind=kind),))) for kind in ONCE),
)


def payload(number: int, name: str = "clean-pass") -> str:
    """A callback's JSON with planted values."""
    made: dict[str, Any] = copy.deepcopy(CALLBACKS[name])
    made["biz_info"] |= {"biz_id": biz_id(number), "biz_extra_data": EXTRA}
    made |= {"note": PLANTED["a field of data"], "images": {"image_best": PLANTED["an image"]}}
    return json.dumps(made)


def form(text: str, secret: str, **more: str) -> bytes:
    return urlencode({"data": text, "sign": sign(secret, text.encode())} | more).encode()


def requests() -> list[tuple[str, bytes]]:
    """Content type and body of requests to the ingress: signed, contradicting, forged and malformed ones."""
    forgery, field = PLANTED["the data of a forged callback"], PLANTED["a field of a form"]
    forged = payload(3).replace("...", forgery)
    return [
        (FORM, form(payload(1), SECRET, extra=field)),
        (FORM, form(payload(1, "liveness-fail"), OLD)),
        (FORM, form(forged[:-1] + f', "x": "{forgery}"}}', "guessed", x=field)),
        (FORM, form(payload(4) + forgery, SECRET)),
        (FORM, f"data={quote(payload(5))}%&sign={sign(SECRET, b'')}&x={field}".encode()),
        ("multipart/form-data; boundary=other", form(payload(6), SECRET)),
        ("application/json", payload(7).encode()),
        (FORM, form(payload(8).replace('"OK"', '"OK", "status": "OK"'), SECRET)),
        (FORM, form(json.dumps({"biz_info": {"biz_id": NAME}}), SECRET)),
    ]


class Run:
    """The pipeline and its outputs."""

    def __init__(self, folder: Path) -> None:
        password = PLANTED["the password of Redis"]
        self.server = RedisServer(folder / "redis", extra=("--requirepass", password))
        self.url = self.server.url.replace("//", f"//:{password}@")
        self.stack = new_stack(folder, redis_url=self.url, worker_stages=((),), settings=SETTINGS)
        self.redis: Redis = open_redis(self.url)
        self.outputs: dict[str, bytes] = {}
        self.events: list[dict[str, Any]] = []
        """The results queue, as `faceid results tail --json` prints it."""
        self._faceid = Faceid(self.stack.env)

    async def play(self) -> None:
        """Play all sessions at once. Then send the requests."""
        async with http_client() as http:
            await asyncio.gather(*(self._session(http, *session) for session in SESSIONS))
            answers = [await self._post(http, content_type, body) for content_type, body in requests()]
            query = urlencode(
                {"token": PLANTED["a field of the query"], "data": payload(9), "sign": sign(SECRET, b"9")}
            )
            answers.append(await (await http.get(f"{self.stack.return_url}?{query}").build().send()).text())
            self.outputs["answers"] = "\n".join(answers).encode()

    async def _session(self, http: Client, scenario: str, method: str, faults: Faults) -> None:
        base = f"{self.stack.simulator_url}/faceid/lite"
        order = {
            "api_key": PLANTED["api_key"],
            "api_secret": SECRET,
            "notify_url": self.stack.notify_url,
            "return_url": f"{self.stack.return_url}?token={quote(PLANTED['a field of the query'])}",
            "action_http_method": method,
            "biz_no": uuid4().hex,
            "biz_extra_data": EXTRA,
            "comparison_type": "0",
            "uuid": "user",
            "image_ref1": PLANTED["an image"],
        }
        token = await get_token(http, base, order)
        await ControlClient(http, self.stack.simulator_url).assign(token.biz_id, scenario, faults)
        await Browser(http, base).verify(token.token)

    async def _post(self, http: Client, content_type: str, body: bytes) -> str:
        request = http.post(self.stack.notify_url).header("content-type", content_type).body_bytes(body)
        answer = await request.build().send()
        return f"{answer.status} {dict(answer.headers)} {await answer.text()}"

    def publish_invalid_messages(self) -> None:
        """Put messages into the queues that no stage can handle."""
        publisher = open_publisher(self.url, 5.0)
        body = form(payload(20), SECRET)
        unknown = new_envelope("unknown", "notify", "POST", body, FORM, "", time.time())
        undecodable = Envelope(
            "undecodable", "default", "notify", "POST", time.time(), payload(21).encode(), biz_id=biz_id(21)
        )
        publisher.publish([unknown.to_message("faceid.callbacks"), undecodable.to_message("faceid.reconciled")])
        publisher.close()
        self.redis.xadd("faceid.callbacks", {b"body": body, b"headers": NAME.encode(), b"x": payload(22).encode()})

    def restart_redis(self) -> None:
        """Kill Redis, send a callback, and start Redis again."""
        self.server.kill()
        asyncio.run(self._post_once("503"))
        self.server.start()
        until(lambda: self._metric("/readyz").startswith(b"ready"), of=self.stack.programs)

    async def _post_once(self, status: str) -> None:
        async with http_client() as http:
            answer = await self._post(http, FORM, form(payload(30), SECRET))
            assert answer.startswith(status)
            self.outputs[f"answer {status}"] = answer.encode()

    def _metric(self, path: str) -> bytes:
        async def get() -> bytes:
            async with http_client() as http:
                return (await (await http.get(self.stack.admin_url + path).build().send()).text()).encode()

        return asyncio.run(get())

    def list_everything(self) -> None:
        """Run every command that lists something, without `--reveal`."""
        for words in ("status", "doctor", "dead list", "unverified list", "policy show"):
            self._command(*words.split())
            self._command(*words.split(), "--json")
        for message_set in ("dead", "unverified"):
            for item in MessageSet(self.redis, "faceid", message_set):
                self._command(message_set, "show", item.id)
                self._command(message_set, "show", item.id, "--json")
            self._command(message_set, "replay", "--all", "--plan")
        for key in self.redis.scan_iter("faceid:case:*"):
            name = key.decode().partition("}:")[2]
            self._command("case", name)
            self._command("case", name, "--json")
        tail = ("results", "tail", "--from-start", "--no-follow", "--alerts")
        self._command(*tail)
        self.events = self._faceid(*tail, "--json").records
        self.outputs["verify"] = "".join(self._verified()).encode()
        self.outputs["metrics"] = self._metric("/metrics")

    def _verified(self) -> Iterator[str]:
        for _, body in requests():
            ran = self._faceid("verify", stdin=body)
            yield ran.out + ran.err

    def _command(self, *words: str, **settings: str) -> None:
        ran = self._faceid(*words, stdin=b"", **settings)
        self.outputs[f"{' '.join(words)} {len(self.outputs)}"] = (ran.out + ran.err).encode()

    def run_with_invalid_settings(self, folder: Path) -> None:
        """Run commands with invalid settings that contain a secret."""
        bad = PLANTED["a secret in invalid settings"]
        accounts, policy = folder / "accounts.toml", folder / "policy.toml"
        accounts.write_text(f'[one]\napi_secrets = "{bad}"\nbase_url = "{bad}"\n[two]\napi_key = 1\n')
        policy.write_text(f'version = "1"\n[faces]\napprove_rate = "{bad}"\n')
        for url in (f"redis://:{bad}@127.0.0.1:port/0", f"redis://:{bad}@127.0.0.1:1/0", f"{bad}://127.0.0.1"):
            self._command("status", FACEID_REDIS_URL=url)
        for settings in (
            {"FACEID_BASE_URL": bad, "FACEID_LISTEN": bad, "FACEID_PREFETCH": bad, "FACEID_READ_SPACING_SECONDS": bad},
            {"FACEID_ACCOUNTS": str(accounts)},
            {"FACEID_POLICY": str(policy)},
            {"FACEID_API_SECRETS": ",", "FACEID_BASE_URL": bad},
        ):
            self._command("doctor", **settings)
            self._command("worker", **settings)
        accounts.write_text(f"[one]\napi_secrets = {bad}")
        self._command("worker", FACEID_ACCOUNTS=str(accounts))
        self._command("policy", "check", str(policy))

    def read_logs(self) -> None:
        for path in self.stack.folder.glob("*.log"):
            self.outputs[path.name] = path.read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("leaks"))
    run.server.start()
    try:
        with run.stack.running():
            asyncio.run(run.play())
            until(lambda: len(decisions(run.redis)) == len(SESSIONS) + 1, what="every decision", of=run.stack.programs)
            run.restart_redis()
            run.publish_invalid_messages()
            dead = MessageSet(run.redis, "faceid", "dead")
            until(lambda: len(dead) == 3, what="the dead letters", of=run.stack.programs)
            run.list_everything()
            run.run_with_invalid_settings(tmp_path_factory.mktemp("misconfigured"))
        run.read_logs()
        yield run
    finally:
        run.server.stop()


@pytest.mark.parametrize("name", PLANTED)
def test_no_output_contains_a_planted_value(run: Run, name: str) -> None:
    assert list(search(run.outputs, {name: PLANTED[name]})) == []


def test_all_searched_outputs_have_content(run: Run) -> None:
    """A search in an empty output would find nothing."""
    expected = {
        "worker-1.log": (b"bad_signature", b"malformed", b"undecodable", b"unknown_account", b"broker.unavailable"),
        "ingress.log": (b"callback.not_stored", b"batch.stored"),
        "metrics": (b"faceid_requests_total",),
        "answers": (b"200",),
        "verify": (b"bad_signature", b"verified: signed with secret 2 of 2"),
    }
    for output, texts in expected.items():
        assert [text for text in texts if text not in run.outputs[output]] == [], output
    listings = b"".join(text for name, text in run.outputs.items() if name.startswith(("dead", "unverified", "case")))
    assert [
        word for word in (b"unknown_account", b"bad_signature", b"hidden", b"NOT_RECONCILED") if word not in listings
    ] == []


def test_events_contain_no_planted_value_except_biz_extra_data(run: Run) -> None:
    """By contract a decision contains biz_extra_data."""
    extra_data = {event["data"].pop("biz_extra_data", EXTRA) for event in run.events}
    assert extra_data == {EXTRA}
    assert len(run.events) > len(SESSIONS)
    assert list(search({"events": json.dumps(run.events).encode()}, PLANTED)) == []


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("around", [b"", b"x", b"xy"])
def test_the_search_finds_a_value_in_every_spelling(name: str, around: bytes) -> None:
    for spelling, wanted in spellings(PLANTED[name]).items():
        assert list(search({"log": around + wanted + around}, {name: PLANTED[name]})), spelling


def test_no_log_of_any_test_contains_a_secret_or_a_signature(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Search the logs of the tests that ran before. At its end the test session searches the logs of all tests."""
    assert run.stack.folder.is_relative_to(tmp_path_factory.getbasetemp())
    assert leaks_in_logs(tmp_path_factory.getbasetemp()) == []


@pytest.mark.parametrize("value", [*CONFIDENTIAL.values(), "0123456789abcdef0123456789abcdef01234567"])
def test_the_search_of_logs_finds_a_secret_or_a_signature(value: str) -> None:
    with TemporaryDirectory() as folder:  # not below the folder that is searched at the session's end
        log = Path(folder) / "stack" / "worker-1.log"
        log.parent.mkdir()
        log.write_text(f'{{"event": "attempt.settled", "why": "{value}"}}')
        assert leaks_in_logs(Path(folder))
