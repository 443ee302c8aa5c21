"""The whole pipeline as real processes over real sockets: what is decided, and how often."""

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from redis import Redis

from deploy.local.session_runner import SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.driver.browser import http_client
from deploy.simulator.model.faults import Faults, ResultFault
from shared.ledger.message_set import MessageSet
from tests.support.biz_ids import biz_id
from tests.support.load import CALLBACKS, SIGNATURES, alerts, bodies, decisions, post_all, signed, without_times
from tests.support.queues import Queues, is_idle, queues_of
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server
ALL: tuple[str, ...] = ()
OLD_IDS = {"FACEID_RETENTION_DAYS": "36500"}
"""The example on FaceID's callback page is years old."""
QUICK = {"FACEID_READ_SPACING_SECONDS": "0.2,0.4", "FACEID_HINT_DELAY_SECONDS": "0.2"}
EXAMPLE = next(vector for vector in SIGNATURES if vector["name"] == "official-page-example")["body"].encode()
EXAMPLE_ID = json.loads(parse_qs(EXAMPLE.decode())["data"][0])["biz_info"]["biz_id"]

MakeStack = Callable[..., Stack]


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def shared_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One pipeline for several tests, with queues and results on the ledger's Redis or on RabbitMQ."""
    url = ""
    if request.param == "rabbitmq":
        url = request.getfixturevalue("rabbit_server").url(next(request.getfixturevalue("_vhosts")))
    with new_stack(tmp_path_factory.mktemp("pipeline"), broker_url=url, settings=QUICK | OLD_IDS).running() as running:
        yield running


@pytest.fixture(scope="module")
def shared_queues(shared_stack: Stack) -> Iterator[Queues]:
    with closing(queues_of(shared_stack)) as queues:
        yield queues


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[MakeStack]:
    """Start stacks of the test's own. All of them are stopped after the test."""
    with ExitStack() as stack:

        def start(name: str = "stack", workers: tuple[tuple[str, ...], ...] = (ALL,), **options: str) -> Stack:
            urls = {option: options.pop(option) for option in ("broker_url", "results_url") if option in options}
            one = new_stack(tmp_path / name, worker_stages=workers, settings=QUICK | options, **urls)
            return stack.enter_context(one.running())

        yield start


def case_key(biz_id: str) -> str:
    return f"faceid:case:{{default}}:{biz_id}"


def made_on(queues: Queues, biz_id: str) -> list[dict[str, object]]:
    """The decisions on one case."""
    return [decision for decision in queues.decisions() if decision["biz_id"] == biz_id]


def settled(redis: "Redis", queues: Queues) -> bool:
    """Whether no message is in a queue or delayed, as far as the queues' broker tells."""
    return queues.empty() and redis.zcard("faceid:delayed") == 0


def test_the_official_example_is_rejected_exactly_once(shared_stack: Stack, shared_queues: Queues) -> None:
    stack, queues = shared_stack, shared_queues
    with open_redis(stack.redis_url) as redis:
        first = asyncio.run(post_all(stack.notify_url, [EXAMPLE]))
        until(lambda: bool(made_on(queues, EXAMPLE_ID)), what="the decision", of=stack.programs)
        again = asyncio.run(post_all(stack.notify_url, [EXAMPLE] * 5))
        until(
            lambda: redis.hget(case_key(EXAMPLE_ID), "count:notify") == b"6" and settled(redis, queues),
            what="every arrival",
            of=stack.programs,
        )

    assert (first, again) == (Counter({200: 1}), Counter({200: 5}))
    (decision,) = made_on(queues, EXAMPLE_ID)
    reasons = decision["reasons"]
    assert isinstance(reasons, list)
    assert decision["outcome"] == "REJECTED"
    assert {"ATTACK_SYNTHETIC_FACE", "FACE_BETWEEN_THRESHOLDS", "NOT_RECONCILED"} <= {each["code"] for each in reasons}


def test_a_get_return_alone_is_decided_by_getresult(shared_stack: Stack, shared_queues: Queues) -> None:
    session = Session("pass", "APPROVED", 1, method="GET", faults=Faults(lose_notify=True))

    async def play() -> str:
        (played,) = [one async for one in SessionRunner(shared_stack).run([session])]
        return played.biz_id

    biz_id = asyncio.run(play())
    until(lambda: bool(made_on(shared_queues, biz_id)), what="the decision", of=shared_stack.programs)
    (decision,) = made_on(shared_queues, biz_id)
    assert (decision["outcome"], decision["channels"], decision["reconciled"]) == ("APPROVED", ["return"], True)


def test_a_made_up_biz_id_decides_nothing(shared_stack: Stack, shared_queues: Queues) -> None:
    stack, biz_id = shared_stack, "1462259748,made-up"

    async def visit() -> int:
        async with http_client() as http:
            return (await http.get(f"{stack.return_url}?biz_id={biz_id}").build().send()).status

    with open_redis(stack.redis_url) as redis:
        assert asyncio.run(visit()) == 200
        until(
            lambda: redis.hget(case_key(biz_id), "refused") == b"RESULT_NOT_FOUND" and settled(redis, shared_queues),
            what="GetResult's refusal",
            of=stack.programs,
        )
        assert made_on(shared_queues, biz_id) == []


def test_one_process_and_one_for_each_stage_make_the_same_decisions(start_stack: MakeStack, rabbit_url: str) -> None:
    names = tuple(name for name in CALLBACKS if name not in {"processing", "not-started"})
    load = bodies(100, names)
    made = []
    each = (("verify",), ("reconcile",), ("classify",), ("publish",))
    for name, workers, url in (("one", (ALL,), ""), ("four", each, ""), ("four-on-rabbitmq", each, rabbit_url)):
        stack = start_stack(name, workers, broker_url=url)
        made.append(decided(stack, load))
        stack.stop()

    assert made[0] == made[1] == made[2]
    assert len(made[0]) == len(load)


def decided(stack: Stack, load: list[bytes]) -> list[str]:
    """Post these callbacks, each of another case, and wait for the decisions."""
    with closing(queues_of(stack)) as queues, open_redis(stack.redis_url) as redis:
        assert asyncio.run(post_all(stack.notify_url, load)) == Counter({200: len(load)})
        until(
            lambda: len(cases_of(queues)) >= len(load) and settled(redis, queues),
            what="every decision",
            of=stack.programs,
        )
        return sorted({without_times(decision) for decision in queues.decisions()})


def cases_of(queues: Queues) -> set[str]:
    return {decision["biz_id"] for decision in queues.decisions()}


def test_queues_ledger_and_results_may_be_on_different_servers(start_stack: MakeStack, redis_url: str) -> None:
    base = redis_url.removesuffix("/0")
    stack = start_stack(broker_url=f"{base}/1", results_url=f"{base}/2")
    asyncio.run(post_all(stack.notify_url, bodies(50)))
    with open_redis(f"{base}/2") as results, open_redis(stack.redis_url) as ledger:
        until(lambda: len(decisions(results)) == 50, what="every decision", of=stack.programs)
        assert len({decision["biz_id"] for decision in decisions(results)}) == 50
        assert len(list(ledger.scan_iter("faceid:case:*"))) == 50


def test_reading_pauses_while_an_account_is_refused_and_no_read_is_spent(start_stack: MakeStack) -> None:
    stack = start_stack(workers=(ALL, ALL), FACEID_BREAKER_REST_SECONDS="0.5")

    async def play(count: int, *faults: ResultFault) -> None:
        player = SessionRunner(stack)
        await player.control.set_faults(*faults)
        async for _ in player.run([Session("pass", "APPROVED", 1)] * count):
            pass

    def raised() -> list[tuple[str, str | None]]:
        return [(alert.kind, alert.account) for alert in alerts(redis)]

    with open_redis(stack.redis_url) as redis:
        asyncio.run(play(40, ResultFault(kind="authentication-error", times=None)))
        until(lambda: ("breaker_opened", "default") in raised(), what="the alert", of=stack.programs)
        assert decisions(redis) == []
        asyncio.run(play(0))
        until(lambda: len(decisions(redis)) == 40 and is_idle(redis), what="every decision", of=stack.programs)

        assert Counter(raised()) == Counter({("breaker_opened", "default"): 1, ("breaker_closed", "default"): 1})
        assert {decision["outcome"] for decision in decisions(redis)} == {"APPROVED"}
        assert {redis.hget(key, "reads") for key in redis.scan_iter("faceid:case:*")} == {b"1"}


def test_contradicting_signed_evidence_raises_an_alert_and_takes_the_approval_back(start_stack: MakeStack) -> None:
    stack = start_stack(workers=(ALL, ALL), FACEID_RECONCILE="never")
    passed, failed = (copy.deepcopy(CALLBACKS[name]) for name in ("clean-pass", "liveness-fail"))
    passed["biz_info"]["biz_id"] = failed["biz_info"]["biz_id"] = biz_id(1)
    with open_redis(stack.redis_url) as redis:
        asyncio.run(post_all(stack.notify_url, [signed(passed)]))
        until(lambda: len(decisions(redis)) == 1, what="the decision", of=stack.programs)
        asyncio.run(post_all(stack.return_url, [signed(failed)] * 3 + [signed(passed)]))
        until(lambda: is_idle(redis) and len(alerts(redis)) == 2, what="the alerts", of=stack.programs)

        made = [(decision["revision"], decision["outcome"]) for decision in decisions(redis)]
        assert made == [(1, "APPROVED"), (2, "REVIEW")]
        assert {alert.kind for alert in alerts(redis)} == {"evidence_conflict", "decision_superseded"}


@pytest.mark.parametrize("first", ["GET return", "PROCESSING"])
def test_a_signed_failure_after_an_approval_without_it_takes_the_approval_back(
    start_stack: MakeStack, first: str
) -> None:
    """GetResult says PASS. The first signed, final callback says FAIL and comes after the decision."""
    stack = start_stack(FACEID_TOKEN_LIFE_SECONDS="1")
    session = Session("pass", "APPROVED", 1, "GET", Faults(lose_notify=True, lose_return=first == "PROCESSING"))
    failed, started = copy.deepcopy(CALLBACKS["liveness-fail"]), copy.deepcopy(CALLBACKS["processing"])

    async def play() -> str:
        (played,) = [one async for one in SessionRunner(stack).run([session])]
        return played.biz_id

    with open_redis(stack.redis_url) as redis:
        failed["biz_info"] = started["biz_info"] = {"biz_id": asyncio.run(play())}
        if first == "PROCESSING":
            asyncio.run(post_all(stack.notify_url, [signed(started)]))
        until(lambda: len(decisions(redis)) == 1, what="the decision", of=stack.programs)
        asyncio.run(post_all(stack.notify_url, [signed(failed)] * 2))
        until(lambda: is_idle(redis) and len(alerts(redis)) == 2, what="the alerts", of=stack.programs)
        made = [(decision["revision"], decision["outcome"]) for decision in decisions(redis)]
        assert made == [(1, "APPROVED"), (2, "REVIEW")]
        assert {alert.kind for alert in alerts(redis)} == {"evidence_conflict", "decision_superseded"}


def test_a_signed_callback_of_years_ago_is_unverified_as_stale(start_stack: MakeStack) -> None:
    stack = start_stack()
    with open_redis(stack.redis_url) as redis:
        asyncio.run(post_all(stack.notify_url, [signed(CALLBACKS["clean-pass"])]))
        until(lambda: bool(redis.zcard("faceid:unverified")), what="the unverified callback", of=stack.programs)
        assert [stored.reason for stored in MessageSet(redis, "faceid", "unverified")] == ["stale"]
        assert decisions(redis) == []


def test_a_flood_of_made_up_biz_ids_costs_bounded_work(start_stack: MakeStack) -> None:
    stack = start_stack(FACEID_HINT_CASES_PER_MINUTE="20", FACEID_HINT_READS_PER_MINUTE="5")

    async def flood() -> None:
        async with http_client() as http:
            for number in range(100):
                await http.get(f"{stack.return_url}?biz_id={biz_id(number)}").build().send()

    with open_redis(stack.redis_url) as redis:
        asyncio.run(flood())
        until(lambda: is_idle(redis), what="the end of all work", of=stack.programs)
        cases = list(redis.scan_iter("faceid:case:*"))
        assert len(cases) == 20
        assert max(redis.ttl(case) for case in cases) <= 86_400
        assert sum(redis.hexists(case, "refused") for case in cases) == 5
        assert decisions(redis) == []
