"""The whole pipeline as real processes over real sockets: what the operator of it relies on."""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from deploy.local.player import Player
from deploy.local.rabbit_server import RabbitServer
from deploy.local.redis_server import RedisServer
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.driver.browser import http_client
from deploy.simulator.model.faults import Faults, ResultFault
from tests.support.load import CALLBACKS, SIGNATURES, bodies, decisions, post, post_all, signed, timeless
from tests.support.queues import Queues, queues_of
from tests.support.redis_clients import open_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server
ALL: tuple[str, ...] = ()
QUICK = {
    "FACEID_READ_SPACING_SECONDS": "0.2,0.4",
    "FACEID_HINT_DELAY_SECONDS": "0.5",
    "FACEID_LEASE_SECONDS": "2",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "1",
}
EXAMPLE = next(vector for vector in SIGNATURES if vector["name"] == "official-page-example")["body"].encode()

MakeStack = Callable[..., Stack]
Look = Callable[[Stack], Queues]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[MakeStack]:
    """Start stacks; all of them are stopped after the test."""
    with ExitStack() as stack:

        def start(
            name: str = "stack",
            workers: tuple[tuple[str, ...], ...] = (ALL, ALL),
            broker_url: str = "",
            **settings: str,
        ) -> Stack:
            one = Stack(tmp_path / name, worker_stages=workers, broker_url=broker_url, settings=QUICK | settings)
            return stack.enter_context(one.running())

        yield start


@pytest.fixture
def look() -> Iterator[Look]:
    """At the queues of a stack."""
    with ExitStack() as open_ones:
        yield lambda stack: open_ones.enter_context(closing(queues_of(stack)))


@pytest.fixture(params=["redis", "rabbitmq"])
def engine_url(request: pytest.FixtureRequest) -> str:
    """What carries the queues and the results: the ledger's Redis, or RabbitMQ beside it."""
    url: str = request.getfixturevalue("rabbit_url") if request.param == "rabbitmq" else ""
    return url


def redis_of(stack: Stack) -> "Redis":
    return open_redis(stack.redis_url)


def published(queues: Queues, count: int) -> bool:
    return len({decision["biz_id"] for decision in queues.decisions()}) >= count


def arrivals(stack: Stack) -> int:
    """Signed notifies that are noted on the cases."""
    redis = redis_of(stack)
    return sum(int(redis.hget(key, "count:notify") or 0) for key in redis.scan_iter("faceid:case:*"))


def settled(stack: Stack, queues: Queues) -> bool:
    """Whether no item waits anywhere, as far as the queues' broker tells."""
    return queues.empty() and redis_of(stack).zcard("faceid:delayed") == 0


def nothing_pending(redis: "Redis") -> bool:
    """Whether no item waits anywhere; asked in one transaction, since items move while one looks."""
    with redis.pipeline(transaction=True) as pipe:
        for queue in ("callbacks", "verified", "reconciled", "decided"):
            pipe.xlen(f"faceid.{queue}")
        pipe.zcard("faceid:delayed")
        return not any(pipe.execute())


def test_the_official_example_is_rejected_exactly_once(running: MakeStack, look: Look, engine_url: str) -> None:
    stack = running(broker_url=engine_url)
    queues = look(stack)

    first = asyncio.run(post_all(stack.notify_url, [EXAMPLE]))
    until(lambda: len(queues.decisions()) == 1)
    again = asyncio.run(post_all(stack.notify_url, [EXAMPLE] * 5))
    until(lambda: arrivals(stack) == 6 and settled(stack, queues), what="every arrival")

    assert (first, again) == (Counter({200: 1}), Counter({200: 5}))
    (decision,) = queues.decisions()
    codes = [reason["code"] for reason in decision["reasons"]]
    assert decision["outcome"] == "REJECTED"
    assert {"ATTACK_SYNTHETIC_FACE", "FACE_BETWEEN_THRESHOLDS", "NOT_RECONCILED"} <= set(codes)


def test_a_worker_killed_in_mid_work_loses_and_doubles_nothing(running: MakeStack, look: Look, engine_url: str) -> None:
    """Where the results are not on the ledger's Redis, a killed worker's may come twice: the same, under one id."""
    stack = running(workers=(ALL, ALL, ALL), broker_url=engine_url)
    queues = look(stack)
    count = 2000

    async def load_and_kill() -> Counter[int]:
        posting = asyncio.create_task(post_all(stack.notify_url, bodies(count)))
        for number, victim in enumerate(stack.workers[:2], 1):
            await asyncio.to_thread(until, partial(published, queues, 300 * number))
            victim.kill()
            victim.start()
        return await posting

    statuses = asyncio.run(load_and_kill())
    until(lambda: published(queues, count) and settled(stack, queues), seconds=60)

    made = [timeless(decision) for decision in queues.decisions()]
    decided = len({decision["biz_id"] for decision in queues.decisions()})
    repeated = len(made) - len(set(made))
    print(f"{count} callbacks, 2 kills: {decided} decided, {count - decided} lost, {repeated} repeated")
    assert statuses == Counter({200: count})
    assert decided == len(set(made)) == count
    assert repeated == 0 or engine_url
    assert redis_of(stack).zcard("faceid:dead") == 0


async def timed(stack: Stack, body: bytes) -> tuple[int, float]:
    """The status that a callback gets, and after how many seconds."""
    async with http_client() as http:
        started = time.monotonic()
        return await post(http, stack.notify_url, body), time.monotonic() - started


def test_while_redis_is_down_callbacks_are_refused_at_once_and_taken_again_after(running: MakeStack) -> None:
    stack = running()
    assert stack.redis is not None
    load = bodies(4)
    assert asyncio.run(timed(stack, load[0]))[0] == 200
    stack.redis.kill()
    while_down = asyncio.run(timed(stack, load[1]))
    stack.redis.start()
    stack.redis.pause()
    while_hung = asyncio.run(timed(stack, load[2]))
    stack.redis.resume()
    until(lambda: asyncio.run(timed(stack, load[3]))[0] == 200)

    assert while_down[0] == while_hung[0] == 503
    assert while_down[1] < 1.0
    assert while_hung[1] < 1.0
    redis = redis_of(stack)
    until(lambda: len(decisions(redis)) >= 2, what="work going on by itself")
    assert all(program.running for program in stack.programs)


def test_while_rabbitmq_is_full_hung_or_down_callbacks_are_refused_at_once_and_taken_again_after(
    running: MakeStack, look: Look, private_rabbit: RabbitServer
) -> None:
    stack = running(workers=(ALL,), broker_url=private_rabbit.url())
    load = bodies(100)

    def ready() -> bool:
        return asyncio.run(timed(stack, load[0]))[0] == 200

    assert ready()
    private_rabbit.full(full=True)
    until(lambda: asyncio.run(timed(stack, load[1]))[0] == 503, what="the alarm's being heard of")
    while_full = asyncio.run(timed(stack, load[2]))
    private_rabbit.full(full=False)
    until(ready, what="the alarm's end")
    private_rabbit.pause()
    while_hung = asyncio.run(timed(stack, load[3]))
    private_rabbit.resume()
    until(ready, what="RabbitMQ's going on")
    private_rabbit.kill()
    while_down = asyncio.run(timed(stack, load[4]))
    private_rabbit.start()
    until(ready, what="RabbitMQ's coming back")

    for status, seconds in (while_full, while_hung, while_down):
        assert status == 503
        assert seconds < 1.0
    assert asyncio.run(post_all(stack.notify_url, load[5:])) == Counter({200: 95})
    queues = look(stack)
    until(lambda: published(queues, 96), what="work going on by itself")
    assert all(program.running for program in stack.programs)


def test_a_refusal_says_when_to_try_again(running: MakeStack) -> None:
    stack = running(workers=())
    assert stack.redis is not None
    stack.redis.kill()

    async def refusal() -> tuple[int, str | None]:
        async with http_client() as http:
            answer = await http.post(stack.notify_url).body_bytes(b"data=x&sign=y").build().send()
            return answer.status, answer.get_header("retry-after")

    assert asyncio.run(refusal()) == (503, "5")


def test_one_process_and_one_for_each_stage_give_the_same_decisions(
    running: MakeStack, look: Look, rabbit_url: str
) -> None:
    names = tuple(name for name in CALLBACKS if name not in {"processing", "not-started"})
    load = bodies(200, names)
    made = []
    each = (("verify",), ("reconcile",), ("classify",), ("publish",))
    for name, workers, url in (("one", (ALL,), ""), ("four", each, ""), ("four-on-rabbitmq", each, rabbit_url)):
        stack = running(name, workers, url)
        queues = look(stack)
        assert asyncio.run(post_all(stack.notify_url, load)) == Counter({200: len(load)})
        until(lambda stack=stack, queues=queues: published(queues, len(load)) and settled(stack, queues))  # type: ignore[misc]
        made.append(sorted({timeless(decision) for decision in queues.decisions()}))

    assert made[0] == made[1] == made[2]
    assert len(made[0]) == len(load)


def test_a_stopping_worker_finishes_what_it_holds(running: MakeStack) -> None:
    stack = running(workers=(ALL,))
    redis = redis_of(stack)
    asyncio.run(post_all(stack.notify_url, bodies(300)))

    code = stack.workers[0].stop(10)

    assert code == 0
    held = redis.xpending("faceid.callbacks", "faceid")
    assert held["pending"] == 0
    assert len(decisions(redis)) + redis.xlen("faceid.callbacks") == 300
    stack.workers[0].start()
    until(lambda: len(decisions(redis)) == 300 and nothing_pending(redis))


def test_queues_ledger_and_results_may_live_apart(running: MakeStack) -> None:
    elsewhere = RedisServer(Path(running("apart-home", ()).folder) / "elsewhere")
    elsewhere.start()
    try:
        base = elsewhere.url.removesuffix("/0")
        stack = running("apart", (ALL,), FACEID_BROKER_URL=f"{base}/1", FACEID_RESULTS_URL=f"{base}/2")
        asyncio.run(post_all(stack.notify_url, bodies(100)))
        results = open_redis(f"{base}/2")
        until(lambda: len(decisions(results)) == 100)
        assert len({decision["biz_id"] for decision in decisions(results)}) == 100
        assert len(list(redis_of(stack).scan_iter("faceid:case:*"))) == 100
    finally:
        elsewhere.stop()


def test_a_get_return_alone_is_decided_by_getresult_after_a_while(
    running: MakeStack, look: Look, engine_url: str
) -> None:
    stack = running(workers=(ALL,), broker_url=engine_url)
    queues = look(stack)

    async def play() -> None:
        async for _ in Player(stack).play(
            [Session("pass", "APPROVED", 1, method="GET", faults=Faults(lose_notify=True))]
        ):
            pass

    asyncio.run(play())
    until(lambda: len(queues.decisions()) == 1)
    (decision,) = queues.decisions()
    assert (decision["outcome"], decision["channels"], decision["reconciled"]) == ("APPROVED", ["return"], True)


def test_a_made_up_biz_id_decides_nothing(running: MakeStack) -> None:
    stack = running(workers=(ALL,))
    redis = redis_of(stack)

    async def visit() -> int:
        async with http_client() as http:
            return (await http.get(f"{stack.return_url}?biz_id=1462259748,made-up").build().send()).status

    assert asyncio.run(visit()) == 200
    until(lambda: redis.zcard("faceid:delayed") == 1)
    until(lambda: nothing_pending(redis))
    assert decisions(redis) == []


def alerts(redis: "Redis") -> list[tuple[str, str]]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange("faceid.alerts"))
    found = [json.loads(fields[b"body"])["data"] for _, fields in entries]
    return [(alert["kind"], alert["account"]) for alert in found]


def test_an_account_that_can_not_be_read_pauses_and_nothing_is_spent(running: MakeStack) -> None:
    stack = running(FACEID_BREAKER_REST_SECONDS="0.5")
    redis = redis_of(stack)

    async def play(count: int, *faults: ResultFault) -> None:
        player = Player(stack)
        await player.remote.set_faults(*faults)
        async for _ in player.play([Session("pass", "APPROVED", 1)] * count):
            pass

    asyncio.run(play(40, ResultFault(kind="authentication-error", times=None)))
    until(lambda: ("breaker_opened", "default") in alerts(redis))
    assert decisions(redis) == []
    asyncio.run(play(0))
    until(lambda: len(decisions(redis)) == 40 and nothing_pending(redis))

    assert Counter(alerts(redis)) == Counter({("breaker_opened", "default"): 1, ("breaker_closed", "default"): 1})
    assert {decision["outcome"] for decision in decisions(redis)} == {"APPROVED"}
    assert {redis.hget(key, "reads") for key in redis.scan_iter("faceid:case:*")} == {b"1"}


def test_contradicting_signed_evidence_raises_an_alert_and_flips_nothing(running: MakeStack) -> None:
    stack = running(FACEID_RECONCILE="never")
    redis = redis_of(stack)
    passed, failed = (copy.deepcopy(CALLBACKS[name]) for name in ("clean-pass", "liveness-fail"))

    asyncio.run(post_all(stack.notify_url, [signed(passed)]))
    until(lambda: len(decisions(redis)) == 1)
    asyncio.run(post_all(stack.return_url, [signed(failed)] * 3 + [signed(passed)]))
    until(lambda: nothing_pending(redis) and len(alerts(redis)) == 1)

    (decision,) = decisions(redis)
    assert decision["outcome"] == "APPROVED"
    assert alerts(redis) == [("evidence_conflict", "default")]


def test_a_flood_of_made_up_ids_costs_bounded_work(running: MakeStack) -> None:
    stack = running(
        workers=(ALL,),
        FACEID_HINT_CASES_PER_MINUTE="20",
        FACEID_HINT_READS_PER_MINUTE="5",
        FACEID_HINT_DELAY_SECONDS="5",
    )
    redis = redis_of(stack)

    async def flood() -> None:
        async with http_client() as http:
            for number in range(100):
                await http.get(f"{stack.return_url}?biz_id=1462259748,made-up-{number}").build().send()

    asyncio.run(flood())
    until(lambda: redis.xlen("faceid.callbacks") == 0 and redis.zcard("faceid:delayed") == 20)
    until(lambda: nothing_pending(redis))

    cases = list(redis.scan_iter("faceid:case:*"))
    assert len(cases) == 20
    assert max(redis.ttl(case) for case in cases) <= 86_400
    assert sum(redis.hexists(case, "refused") for case in cases) == 5
    assert decisions(redis) == []


def test_a_nearly_full_redis_is_refused_early_and_taken_in_again_once_there_is_room(running: MakeStack) -> None:
    stack = running(workers=(), FACEID_MAX_MEMORY_SHARE="0.8")
    redis = redis_of(stack)
    used = int(redis.info("memory")["used_memory"])
    redis.config_set("maxmemory", used + 4_000_000)

    statuses: Counter[int] = Counter()
    for start in range(1, 40_001, 500):
        statuses += asyncio.run(post_all(stack.notify_url, bodies(500, first=start)))
        if statuses[503]:
            break
    memory = redis.info("memory")
    assert statuses[503] > 0
    assert statuses[200] == redis.xlen("faceid.callbacks")
    assert memory["used_memory"] < memory["maxmemory"]

    redis.config_set("maxmemory", memory["used_memory"] * 2)
    until(lambda: asyncio.run(post_all(stack.notify_url, bodies(1)))[200] == 1)
