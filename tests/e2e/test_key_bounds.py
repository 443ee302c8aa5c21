"""After a load of everything, each key in Redis is on the page of keys and has a TTL, or a bound that is checked."""

import asyncio
import copy
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

import pytest
from redis import Redis

from deploy.local.session_runner import SessionRunner
from deploy.local.sessions import SESSIONS, Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults, ResultFault
from shared.events.alert import Alert, AlertKind
from shared.ledger.case_key import bytes_key, message_set_keys
from shared.ledger.message_set import SetName
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.results import Decision, OnceInRedis, consume, consume_alerts
from tests.support.biz_ids import biz_id
from tests.support.commands import Faceid
from tests.support.load import CALLBACKS, alerts, decisions, post_all, signed
from tests.support.markdown import read, rows
from tests.support.queues import INNER
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

DAY: Final = 86_400.0
DAYS: Final = 2
RETENTION: Final = DAYS * DAY
SLACK: Final = 3600.0
"""Seconds that this test may take."""
UNVERIFIED, DEAD = 10, 11
SETTINGS: Final = {
    "FACEID_RETENTION_DAYS": str(DAYS),
    "FACEID_UNVERIFIED_MAX": str(UNVERIFIED),
    "FACEID_HINT_DELAY_SECONDS": "0.5",
    "FACEID_READ_SPACING_SECONDS": "0.1,3600",
}
FAILING = Session("pass", "", 1, faults=Faults(get_result=(ResultFault(kind="internal-error", times=None),)))
"""It is read twice, and then delayed for an hour."""
OLD: Final = ("item-old", "faceid.decisions.dead", "faceid.decisions.billing.dead", "faceid.alerts.dead")
OLD_SETS: Final[tuple[SetName, ...]] = ("dead", "unverified", "outbox", "tombstones")

Check = Callable[["Redis", str], bool]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Redis"]:
    """The Redis of a pipeline after the load, while it still runs."""
    stack = new_stack(tmp_path_factory.mktemp("keys"), worker_stages=((),), settings=SETTINGS)
    with stack.running(), open_redis(stack.redis_url) as client:
        put_old_items(client)
        load(stack, client)
        yield client


def put_old_items(redis: "Redis") -> None:
    """Items that are older than the retention, in every place that workers trim by age."""
    now, _ = redis.time()
    at = int(now) - RETENTION - DAY
    message = Message("faceid.callbacks", b"a=b", "text/plain", {"id": "item-old"})
    stored = StoredMessage("item-old", "verify", "error", "", at, message=message)
    for name in OLD_SETS:
        ids, items = message_set_keys("faceid", name)
        redis.zadd(ids, {stored.id: at})
        redis.hset(items, stored.id, stored.dump())
    for stream in OLD[1:]:
        redis.xadd(stream, {"body": "old"}, id=f"{int(at * 1000)}-0")


def load(stack: Stack, redis: "Redis") -> None:
    """All channels, all kinds of results, alerts, superseding, dead letters, and consumers that fail."""
    passed = play(stack, *SESSIONS)
    until(lambda: bool(decisions(redis, passed)), what="the first decision", of=stack.programs)
    asyncio.run(post_all(stack.notify_url, [callback(name, number) for number, name in enumerate(CALLBACKS, 1)]))
    asyncio.run(post_all(stack.return_url, [callback(name, number) for number, name in enumerate(CALLBACKS, 1)]))
    asyncio.run(post_all(stack.notify_url, [signed(CALLBACKS["clean-pass"], "a forger's")] * 3 * UNVERIFIED))
    asyncio.run(post_all(stack.notify_url, [callback("liveness-fail", of=passed)]))
    for _ in range(DEAD):
        redis.xadd("faceid.callbacks", {"rubbish": "x"})
    kinds = {AlertKind.EVIDENCE_CONFLICT, AlertKind.BAD_SIGNATURE_RATE, AlertKind.DEAD_LETTERS_GROWING}
    until(lambda: kinds <= {alert.kind for alert in alerts(redis)}, what="the alerts", of=stack.programs)
    until(lambda: len(decisions(redis, passed)) == 2, what="the superseding decision", of=stack.programs)
    until(lambda: not any(redis.xlen(queue) for queue in INNER), what="the end of the work", of=stack.programs)
    drop_one(stack, redis)
    consume_all(stack.redis_url, redis)
    play(stack, FAILING)
    until(lambda: bool(redis.exists("faceid:account:{default}")), what="the failed reads", of=stack.programs)
    until(lambda: not old_places(redis), what="the end of what is too old", of=stack.programs)


def play(stack: Stack, *sessions: Session) -> str:
    """Play these sessions. Returns the biz_id of the first one."""

    async def played() -> str:
        finished = [one async for one in SessionRunner(stack).run(sessions)]
        return next(one.biz_id for one in finished if one.number == 1)

    return asyncio.run(played())


def callback(name: str, number: int = 0, of: str = "") -> bytes:
    payload = copy.deepcopy(CALLBACKS[name])
    payload["biz_info"] = {**(payload.get("biz_info") or {}), "biz_id": of or biz_id(number), "biz_no": f"no-{number}"}
    return signed(payload)


def drop_one(stack: Stack, redis: "Redis") -> None:
    (first,) = cast("list[bytes]", redis.zrange("faceid:dead", -1, -1))
    assert Faceid(stack.env)("dead", "drop", first.decode(), "--yes").code == 0


def consume_all(url: str, redis: "Redis") -> None:
    """Two groups that read decisions and one that reads alerts: each handles some, and fails at some."""
    once, stop, handled = OnceInRedis(redis, "billing"), threading.Event(), list[str]()

    def bill(decision: Decision) -> None:
        with once(decision.id) as commands:
            if commands is not None and decision.outcome == "APPROVED":
                raise LookupError
        handled.append("billing")

    def fail(event: Decision | Alert) -> None:
        handled.append(type(event).__name__)
        raise LookupError

    options: dict[str, Any] = {"attempts": 1, "stop": stop}
    threads = [
        threading.Thread(target=consume, args=(url, bill), kwargs={"group": "billing", **options}),
        threading.Thread(target=consume, args=(url, fail), kwargs=options),
        threading.Thread(target=consume_alerts, args=(url, fail), kwargs=options),
    ]
    for thread in threads:
        thread.start()
    until(lambda: {"billing", "Decision", "Alert"} <= set(handled) and all(redis.xlen(key) > 0 for key in OLD[1:]))
    stop.set()
    for thread in threads:
        thread.join()


def old_places(redis: "Redis") -> list[str]:
    """Where an item that is too old still is."""
    sets = [name for name in OLD_SETS if redis.zscore(f"faceid:{name}", "item-old") is not None]
    return sets + [stream for stream in OLD[1:] if not is_young_stream(redis, stream)]


def oldest_allowed(redis: "Redis") -> float:
    seconds, _ = redis.time()
    return float(seconds) - RETENTION - SLACK


def is_young_stream(redis: "Redis", key: str) -> bool:
    entries = cast("list[tuple[bytes, Any]]", redis.xrange(key, count=1))
    return not entries or int(entries[0][0].partition(b"-")[0]) / 1000 >= oldest_allowed(redis)


def is_young_set(redis: "Redis", key: str) -> bool:
    first = cast("list[tuple[bytes, float]]", redis.zrange(key, 0, 0, withscores=True))
    return redis.zcard(key) == redis.hlen(f"{key}:items") and all(at >= oldest_allowed(redis) for _, at in first)


def is_due_in_time(redis: "Redis", key: str) -> bool:
    last = cast("list[tuple[bytes, float]]", redis.zrange(key, -1, -1, withscores=True))
    return is_young_set(redis, key) and all(at <= oldest_allowed(redis) + 2 * (RETENTION + SLACK) for _, at in last)


def is_small_set(redis: "Redis", key: str) -> bool:
    return is_young_set(redis, key) and redis.zcard(key) <= UNVERIFIED


def is_the_sum(redis: "Redis", key: str) -> bool:
    return int(redis.get(key) or 0) == sum(len(raw) for raw in redis.hvals("faceid:unverified:items"))


BOUNDS: Final[Mapping[str, Check]] = {
    "faceid:epoch": lambda redis, key: redis.strlen(key) <= 100,
    "faceid:delayed": is_due_in_time,
    "faceid:dead": is_young_set,
    "faceid:unverified": is_small_set,
    bytes_key("faceid", "unverified"): is_the_sum,
    "faceid:outbox": is_young_set,
    "faceid:tombstones": lambda redis, key: is_young_set(redis, key) and redis.zcard(key) <= 10_000,
    "faceid:trimmed": lambda redis, key: redis.hlen(key) <= len(OLD_SETS) + 1,
    **dict.fromkeys(INNER, lambda redis, key: redis.xlen(key) == 0),
    "faceid.decisions": is_young_stream,
    "faceid.alerts": is_young_stream,
    "faceid.decisions.dead": is_young_stream,
    "faceid.decisions.GROUP.dead": is_young_stream,
    "faceid.alerts.dead": is_young_stream,
    "faceid.alerts.GROUP.dead": is_young_stream,
}
"""The keys of the page without a TTL, and what must hold for each."""
NOT_IN_THIS_LOAD: Final = {"faceid:outbox", "faceid:probation:MESSAGE_ID", "faceid:watch", "faceid.alerts.GROUP.dead"}
"""Keys of the page that are gone again at once, need RabbitMQ, or one more consumer."""


def page_keys() -> dict[str, str]:
    """The keys of the page, each with its type."""
    found = [row for row in rows(read("docs/reference/redis-keys.md")) if row.columns[0] == "key"]
    return {name.strip("` "): row["type"] for row in found for name in row.cells[0].split(",")}


def row_of(key: str) -> str | None:
    """The key of the page that a key of Redis is, if any. The hash of a message set's items belongs to the set."""
    for name in sorted(page_keys(), key=len, reverse=True):
        pattern = re.sub("[A-Z][A-Z_]*", ".+", re.escape(name))
        if re.fullmatch(pattern, key.removesuffix(":items")):
            return name
    return None


def keys_of(redis: "Redis") -> dict[str, str | None]:
    """Every key with its key of the page."""
    return {key.decode(): row_of(key.decode()) for key in sorted(cast("Iterator[bytes]", redis.scan_iter(count=1000)))}


def test_every_key_is_on_the_page_with_its_type(redis: "Redis") -> None:
    keys, types = keys_of(redis), page_keys()
    assert [key for key, row in keys.items() if row is None] == []
    kinds = {"stream": b"stream", "hash": b"hash", "string": b"string", "sorted set": b"zset", "set": b"set"}
    for key, row in keys.items():
        if row is not None and not key.endswith(":items"):
            assert redis.type(key) in {kinds[types[row]], b"none"}, key


def test_the_load_makes_every_key_of_the_page(redis: "Redis") -> None:
    assert page_keys().keys() - set(keys_of(redis).values()) <= NOT_IN_THIS_LOAD


def test_every_key_has_a_ttl_or_a_bound(redis: "Redis") -> None:
    unbounded = [
        key
        for key, row in keys_of(redis).items()
        if row not in BOUNDS and redis.ttl(key) == -1  # -2: expired by now
    ]
    assert unbounded == []


def test_every_bound_holds_after_the_maintenance(redis: "Redis") -> None:
    bounded = [key for key, row in keys_of(redis).items() if row in BOUNDS and not key.endswith(":items")]
    assert len(bounded) > 10
    for key in bounded:
        until(partial(BOUNDS[row_of(key) or ""], redis, key), what=f"the bound of {key}")


def test_what_was_deleted_for_its_age_is_counted(redis: "Redis") -> None:
    counted = {name: int(redis.hget("faceid:trimmed", name) or 0) for name in OLD_SETS if name != "outbox"}
    assert all(counted.values())  # an item of the outbox may be published before it is deleted
    assert counted["dead"] == 1
