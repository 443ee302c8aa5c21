"""No secret and nobody's personal data in logs, metrics, listings, answers or exceptions, whatever goes wrong.

A pipeline is run with telling values planted wherever the contract has a place for them, everything that can go wrong
goes wrong, and all that it has said is searched for them in every spelling.
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
from tests.support.commands import Faceid
from tests.support.hostile_bodies import sign
from tests.support.leaks import in_logs, search, spellings
from tests.support.load import CALLBACKS, biz_id, decisions
from tests.support.payloads import FORM, new_envelope
from tests.support.planted import EXTRA, NAME, NEEDLES, USED
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

SECRET, OLD = NEEDLES["api_secret"], NEEDLES["an older api_secret"]
SETTINGS: Final = {
    "FACEID_API_KEY": NEEDLES["api_key"],
    "FACEID_API_SECRETS": f"{SECRET},{OLD}",
    "FACEID_SIMULATOR_ACCOUNTS": json.dumps({NEEDLES["api_key"]: SECRET}),
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
    """A text with something telling wherever there is a place for it."""
    made: dict[str, Any] = copy.deepcopy(CALLBACKS[name])
    made["biz_info"] |= {"biz_id": biz_id(number), "biz_extra_data": EXTRA}
    made |= {"note": NEEDLES["a field of data"], "images": {"image_best": NEEDLES["an image"]}}
    return json.dumps(made)


def form(text: str, secret: str, **more: str) -> bytes:
    return urlencode({"data": text, "sign": sign(secret, text.encode())} | more).encode()


def posts() -> list[tuple[str, bytes]]:
    """Posted straight to the ingress: signed, contradicting, forged, broken."""
    forged, field = payload(3).replace("...", NEEDLES["a forged data"]), NEEDLES["a field of a form"]
    return [
        (FORM, form(payload(1), SECRET, extra=field)),
        (FORM, form(payload(1, "liveness-fail"), OLD)),
        (FORM, form(forged[:-1] + f', "x": "{NEEDLES["a forged data"]}"}}', "guessed", x=field)),
        (FORM, form(payload(4) + NEEDLES["a forged data"], SECRET)),
        (FORM, f"data={quote(payload(5))}%&sign={sign(SECRET, b'')}&x={field}".encode()),
        ("multipart/form-data; boundary=other", form(payload(6), SECRET)),
        ("application/json", payload(7).encode()),
        (FORM, form(payload(8).replace('"OK"', '"OK", "status": "OK"'), SECRET)),
        (FORM, form(json.dumps({"biz_info": {"biz_id": NAME}}), SECRET)),
    ]


class Run:
    """The pipeline, and everything that it has said."""

    def __init__(self, folder: Path) -> None:
        password = NEEDLES["the password of Redis"]
        self.server = RedisServer(folder / "redis", extra=("--requirepass", password))
        self.url = self.server.url.replace("//", f"//:{password}@")
        self.stack = new_stack(folder, redis_url=self.url, worker_stages=((),), settings=SETTINGS)
        self.redis: Redis = open_redis(self.url)
        self.traces: dict[str, bytes] = {}
        self.events: list[dict[str, Any]] = []
        """The results queue, as `faceid results tail --json` prints it."""
        self._faceid = Faceid(self.stack.env)

    async def play(self) -> None:
        """The sessions, all at once, and then the posts."""
        async with http_client() as http:
            await asyncio.gather(*(self._session(http, *session) for session in SESSIONS))
            answers = [await self._post(http, content_type, body) for content_type, body in posts()]
            query = urlencode(
                {"token": NEEDLES["a field of the query"], "data": payload(9), "sign": sign(SECRET, b"9")}
            )
            answers.append(await (await http.get(f"{self.stack.return_url}?{query}").build().send()).text())
            self.traces["answers"] = "\n".join(answers).encode()

    async def _session(self, http: Client, scenario: str, method: str, faults: Faults) -> None:
        base = f"{self.stack.simulator_url}/faceid/lite"
        order = {
            "api_key": NEEDLES["api_key"],
            "api_secret": SECRET,
            "notify_url": self.stack.notify_url,
            "return_url": f"{self.stack.return_url}?token={quote(NEEDLES['a field of the query'])}",
            "action_http_method": method,
            "biz_no": uuid4().hex,
            "biz_extra_data": EXTRA,
            "comparison_type": "0",
            "uuid": "user",
            "image_ref1": NEEDLES["an image"],
        }
        token = await get_token(http, base, order)
        await ControlClient(http, self.stack.simulator_url).assign(token.biz_id, scenario, faults)
        await Browser(http, base).verify(token.token)

    async def _post(self, http: Client, content_type: str, body: bytes) -> str:
        request = http.post(self.stack.notify_url).header("content-type", content_type).body_bytes(body)
        answer = await request.build().send()
        return f"{answer.status} {dict(answer.headers)} {await answer.text()}"

    def spoil(self) -> None:
        """Put into the queues what no stage can work on."""
        publisher = open_publisher(self.url, 5.0)
        body = form(payload(20), SECRET)
        foreign = new_envelope("foreign", "notify", "POST", body, FORM, "", time.time())
        garbled = Envelope("garbage", "default", "notify", "POST", time.time(), payload(21).encode(), biz_id=biz_id(21))
        publisher.publish([foreign.to_message("faceid.callbacks"), garbled.to_message("faceid.reconciled")])
        publisher.close()
        self.redis.xadd("faceid.callbacks", {b"body": body, b"headers": NAME.encode(), b"x": payload(22).encode()})

    def break_redis(self) -> None:
        """Take Redis away while callbacks come in, and give it back."""
        self.server.kill()
        asyncio.run(self._post_once("503"))
        self.server.start()
        until(lambda: self._metric("/readyz").startswith(b"ready"), of=self.stack.programs)

    async def _post_once(self, status: str) -> None:
        async with http_client() as http:
            answer = await self._post(http, FORM, form(payload(30), SECRET))
            assert answer.startswith(status)
            self.traces[f"answer {status}"] = answer.encode()

    def _metric(self, path: str) -> bytes:
        async def get() -> bytes:
            async with http_client() as http:
                return (await (await http.get(self.stack.ingress_url + path).build().send()).text()).encode()

        return asyncio.run(get())

    def list_everything(self) -> None:
        """What the command line shows to whom does not ask to have it revealed."""
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
        self.traces["verify"] = "".join(self._verified()).encode()
        self.traces["metrics"] = self._metric("/metrics")

    def _verified(self) -> Iterator[str]:
        for _, body in posts():
            ran = self._faceid("verify", stdin=body)
            yield ran.out + ran.err

    def _command(self, *words: str, **settings: str) -> None:
        ran = self._faceid(*words, stdin=b"", **settings)
        self.traces[f"{' '.join(words)} {len(self.traces)}"] = (ran.out + ran.err).encode()

    def misconfigure(self, folder: Path) -> None:
        """Start everything with settings that can't be used, secrets in all of them."""
        bad = NEEDLES["a secret in broken settings"]
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
            self.traces[path.name] = path.read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("leaks"))
    run.server.start()
    try:
        with run.stack.running():
            asyncio.run(run.play())
            until(lambda: len(decisions(run.redis)) == len(SESSIONS) + 1, what="every decision", of=run.stack.programs)
            run.break_redis()
            run.spoil()
            dead = MessageSet(run.redis, "faceid", "dead")
            until(lambda: len(dead) == 3, what="the dead letters", of=run.stack.programs)
            run.list_everything()
            run.misconfigure(tmp_path_factory.mktemp("misconfigured"))
        run.read_logs()
        yield run
    finally:
        run.server.stop()


@pytest.mark.parametrize("needle", NEEDLES)
def test_nothing_that_was_said_holds_a_planted_value(run: Run, needle: str) -> None:
    assert list(search(run.traces, {needle: NEEDLES[needle]})) == []


def test_everything_spoke_that_was_to_be_searched(run: Run) -> None:
    """A search of nothing finds nothing."""
    said = {
        "worker-1.log": (b"bad_signature", b"malformed", b"undecodable", b"unknown_account", b"broker.unavailable"),
        "ingress.log": (b"callback.not_stored", b"batch.stored"),
        "metrics": (b"faceid_requests_total",),
        "answers": (b"200",),
        "verify": (b"bad_signature", b"verified: signed with secret 2 of 2"),
    }
    for trace, texts in said.items():
        assert [text for text in texts if text not in run.traces[trace]] == [], trace
    listings = b"".join(text for name, text in run.traces.items() if name.startswith(("dead", "unverified", "case")))
    assert [
        word for word in (b"unknown_account", b"bad_signature", b"hidden", b"NOT_RECONCILED") if word not in listings
    ] == []


def test_the_echo_is_in_the_events_and_nothing_else_of_anybody(run: Run) -> None:
    """By contract a decision carries biz_extra_data to its consumer."""
    echoes = {event["data"].pop("biz_extra_data", EXTRA) for event in run.events}
    assert echoes == {EXTRA}
    assert len(run.events) > len(SESSIONS)
    assert list(search({"events": json.dumps(run.events).encode()}, NEEDLES)) == []


@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize("neighbour", [b"", b"x", b"xy"])
def test_the_search_finds_what_is_there(needle: str, neighbour: bytes) -> None:
    for spelling, wanted in spellings(NEEDLES[needle]).items():
        assert list(search({"trace": neighbour + wanted + neighbour}, {needle: NEEDLES[needle]})), spelling


def test_no_log_of_any_test_holds_a_secret_or_a_sign(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of every process that any test before this one has started; the session's end searches those of all."""
    assert run.stack.folder.is_relative_to(tmp_path_factory.getbasetemp())
    assert in_logs(tmp_path_factory.getbasetemp()) == []


@pytest.mark.parametrize("said", [*USED.values(), "0123456789abcdef0123456789abcdef01234567"])
def test_the_search_of_logs_finds_what_one_of_them_says(said: str) -> None:
    with TemporaryDirectory() as folder:  # not below the folder that is searched at the session's end
        log = Path(folder) / "stack" / "worker-1.log"
        log.parent.mkdir()
        log.write_text(f'{{"event": "attempt.settled", "why": "{said}"}}')
        assert in_logs(Path(folder))
