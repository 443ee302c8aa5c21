"""`faceid dead` and `faceid unverified` on a real server."""

import inspect
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from redis import Redis

from shared.brokers.factory import open_connection
from shared.ledger.case_key import CaseKey, case_key
from shared.ledger.message_set import MessageSet, SetName, put_commands
from shared.messaging.envelope import Envelope
from shared.messaging.stored_message import StoredMessage
from tests.support.commands import Faceid
from tests.support.paths import ROOT
from tests.support.redis_clients import open_redis
from tests.support.stored_messages import SECRET_TEXT, dead_letter, unreadable
from tests.support.waiting import LIMIT, until

pytestmark = pytest.mark.server
VERIFIED = "faceid.verified"
PRIVATE = "person"
MANY = int(os.environ.get("FACEID_TEST_DEAD_LETTERS", "20000"))
"""Dead letters in the test with many of them; 100000 take a minute or two."""


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def faceid(redis_url: str) -> Faceid:
    return Faceid({"FACEID_REDIS_URL": redis_url})


def put(redis: Redis, *items: StoredMessage, message_set: SetName = "dead") -> None:
    with redis.pipeline(transaction=False) as pipe:
        for stored in items:
            for command in put_commands("faceid", message_set, stored):
                pipe.execute_command(*command)
        pipe.execute()


def message(url: str, queue: str) -> Envelope:
    """The next message of a queue, read as a worker reads it."""
    with open_connection(url, group="faceid") as connection:
        channel = connection.channel()
        channel.queue_declare(queue)
        found = channel.basic_get(queue, no_ack=True)
        return Envelope.read(found.headers, found.content_type, found.body)


def everything(redis: Redis) -> dict[bytes, Any]:
    """Every key with its value."""
    readers: dict[Any, Callable[[bytes], Any]] = {
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
        b"string": redis.get,
    }
    return {key: readers[redis.type(key)](key) for key in cast("list[bytes]", redis.keys())}


def ids_of(redis: Redis, queue: str = VERIFIED) -> list[str]:
    """The ids of the messages in a queue, sorted."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(queue))
    return sorted(json.loads(fields[b"headers"])["id"] for _, fields in entries)


def test_a_listing_has_rows_and_counts_and_nothing_of_the_person(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1), dead_letter(2, reason="poison"), dead_letter(3), unreadable(4))

    ran = faceid("dead", "list")

    rows = [line.split()[0] for line in ran.out.splitlines()]
    assert rows[:5] == ["id", "callbacks:4-0", "item-3", "item-2", "item-1"]
    assert "        2  reconcile: error" in ran.out
    assert "        4  dead letters in all" in ran.out
    assert (ran.code, PRIVATE in ran.out) == (0, False)


def test_a_long_listing_is_cut_but_counted_whole(redis: Redis, faceid: Faceid) -> None:
    put(redis, *(dead_letter(number) for number in range(120)))

    ran = faceid("dead", "list", "--limit", "5")

    assert ran.out.count("item-") == 5
    assert "      120  dead letters in all" in ran.out
    assert faceid("dead", "list").out.count("item-") == 100


def test_json_lists_one_object_a_line_and_obeys_the_filters(redis: Redis, faceid: Faceid) -> None:
    put(
        redis,
        *(dead_letter(number, at=time.time() - number * 60) for number in range(1, 6)),
        dead_letter(9, account="other"),
    )

    ran = faceid("dead", "list", "--json", "--since", "210s", "--until", "1m30s", "--account", "default")

    assert [record["id"] for record in ran.records] == ["item-3", "item-2"]
    assert PRIVATE not in ran.out


def test_one_item_is_shown_without_its_message_unless_asked(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1))

    hidden, shown = faceid("dead", "show", "item-1"), faceid("dead", "show", "item-1", "--reveal", "--json")

    assert "KeyError at stages.py:9 in run" in hidden.out
    assert PRIVATE not in hidden.out
    assert shown.records[0]["body"] == SECRET_TEXT.decode()


def test_an_unknown_id_is_not_found(faceid: Faceid) -> None:
    ran = faceid("dead", "show", "item-1")

    assert (ran.code, ran.out, ran.err) == (1, "", "item-1 is not among the dead letters.\n")


def test_a_replayed_message_is_on_its_queue_unchanged_but_without_attempts(
    redis: Redis, faceid: Faceid, redis_url: str
) -> None:
    original = dead_letter(1).message
    assert original is not None
    put(redis, dead_letter(1, message=replace(original, headers={**original.headers, "received_at": 1.5})))

    ran = faceid("dead", "replay", "item-1", "--note", "fixed in 1.4.2")

    assert (ran.code, ran.out) == (0, "1 replayed\n")
    found = message(redis_url, VERIFIED)
    assert (found.id, found.body, found.query, found.attempts) == ("item-1", SECRET_TEXT, "token=private", 0)
    assert len(MessageSet(redis, "faceid", "dead")) == 0


def test_a_replay_is_noted_on_the_case_with_a_ttl(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1))

    faceid("dead", "replay", "--all", "--note", "fixed in 1.4.2")

    key = case_key("faceid", CaseKey("default", "1795334000,case-1"))
    ((field, note),) = cast("dict[bytes, bytes]", redis.hgetall(key)).items()
    assert field.startswith(b"replay:item-1:")
    assert b"fixed in 1.4.2" in note
    assert redis.pttl(key) > 0


def test_replaying_again_changes_nothing(redis: Redis, faceid: Faceid) -> None:
    put(redis, *(dead_letter(number) for number in range(3)))
    faceid("dead", "replay", "--reason", "error")
    before = everything(redis)

    again, by_id = faceid("dead", "replay", "--reason", "error"), faceid("dead", "replay", "item-1")

    assert (again.code, again.out) == (0, "0 replayed\n")
    assert (by_id.code, "item-1" in by_id.err) == (1, True)
    assert everything(redis) == before


def test_a_plan_shows_what_would_happen_and_changes_nothing(redis: Redis, faceid: Faceid) -> None:
    put(redis, *(dead_letter(number) for number in range(20)), unreadable())
    before = everything(redis)

    ran = faceid("dead", "replay", "--all", "--plan", "--rate", "0.1/s")

    assert "       20  reconcile: error  ->  faceid.verified" in ran.out
    assert "        1  verify: undecodable  ->  faceid.callbacks" in ran.out
    assert "21  dead letters would be replayed, in about 3m 30s; nothing was changed" in ran.out
    assert everything(redis) == before


def test_an_unreadable_entry_goes_back_unchanged(redis: Redis, faceid: Faceid) -> None:
    put(redis, unreadable())

    faceid("dead", "replay", "--reason", "undecodable")

    ((_, fields),) = cast("list[tuple[bytes, Any]]", redis.xrange("faceid.callbacks"))
    assert fields == {b"foo": b"private \xff", b"bar": b""}


@pytest.mark.parametrize("other_broker", [False, True])
def test_a_header_with_a_lone_surrogate_is_replayed(
    redis: Redis, faceid: Faceid, redis_url: str, other_broker: bool
) -> None:
    original = dead_letter(1).message
    assert original is not None
    put(redis, dead_letter(1, message=replace(original, headers={**original.headers, "query": "\ud800"})))
    url = redis_url.removesuffix("/0") + "/1" if other_broker else redis_url

    ran = faceid("dead", "replay", "item-1", FACEID_BROKER_URL=url)

    assert (ran.code, ran.out) == (0, "1 replayed\n")
    with open_redis(url) as broker:
        ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", broker.xrange(VERIFIED))
    assert json.loads(fields[b"headers"])["query"] == "\ud800"


def test_a_replay_runs_few_files_of_the_product(redis: Redis, faceid: Faceid) -> None:
    """Without those that read the settings and connect to Redis, which every command runs."""
    names = ("redis_servers/", "settings.py", "server_urls.py", "messaging/engine.py")
    common = tuple(f"{ROOT}/shared/{name}" for name in names)
    put(redis, dead_letter(1))
    files = set[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:  # a function, not a class or a module
            files.add(code.co_filename)

    sys.setprofile(note)
    try:
        ran = faceid("dead", "replay", "item-1")
    finally:
        sys.setprofile(None)

    product = {
        file
        for name in ("console", "shared", "workers")
        for file in files
        if file.startswith(f"{ROOT / name}/") and not file.startswith(common)
    }
    assert ran.out == "1 replayed\n"
    assert len(product) < 14, sorted(product)


def test_another_broker_gets_the_message_before_it_leaves_the_message_set(
    redis: Redis, faceid: Faceid, redis_url: str
) -> None:
    put(redis, dead_letter(1), unreadable())
    other_url = redis_url.removesuffix("/0") + "/1"

    ran = faceid("dead", "replay", "--all", FACEID_BROKER_URL=other_url)

    assert (ran.code, ran.out) == (0, "2 replayed\n")
    with open_redis(other_url) as broker:
        assert ids_of(broker) == ["item-1"]
        assert broker.xlen("faceid.callbacks") == 1
    assert len(MessageSet(redis, "faceid", "dead")) == 0
    assert redis.exists(VERIFIED) == 0


def test_nothing_leaves_the_message_set_while_the_broker_is_down(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1))

    ran = faceid("dead", "replay", "--all", FACEID_BROKER_URL="redis://:private@127.0.0.1:9/0")

    assert ran.code == 3
    assert "The broker did not store the messages" in ran.err
    assert "private" not in ran.err
    assert len(MessageSet(redis, "faceid", "dead")) == 1


def test_items_that_redis_refuses_stay_in_the_message_set(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1), unreadable())
    redis.set(VERIFIED, "no stream")

    ran = faceid("dead", "replay", "--all")

    assert (ran.code, ran.out) == (1, "1 replayed\n")
    assert "1 refused (WRONGTYPE) and not replayed." in ran.err
    assert [stored.id for stored in MessageSet(redis, "faceid", "dead")] == ["item-1"]


def test_an_interrupted_replay_continues_when_run_again(redis: Redis, faceid: Faceid) -> None:
    put(redis, *(dead_letter(number) for number in range(60)))
    process = faceid.start("dead", "replay", "--all", "--rate", "5/s")
    until(lambda: redis.xlen(VERIFIED) >= 2, what="the first replayed messages")

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    left = len(MessageSet(redis, "faceid", "dead"))

    assert process.returncode == 1
    assert "Interrupted" in err
    replayed = int(out.partition(" ")[0])
    assert 60 - left - 3 <= replayed <= 60 - left, "at most the current batch is missing from the count"
    assert 0 < left < 60
    assert faceid("dead", "replay", "--all").out == f"{left} replayed\n"
    assert ids_of(redis) == sorted(f"item-{number}" for number in range(60))


def rabbit_ids(url: str, queue: str = VERIFIED) -> list[str]:
    """The ids of the messages in a queue of RabbitMQ, which are taken out by this."""
    with open_connection(url) as connection:
        channel: Any = connection.channel()
        taken = iter(lambda: channel.basic_get(queue, no_ack=True), None)
        return [message.headers["id"] for message in taken]


def test_a_replay_to_rabbitmq_is_confirmed_before_items_leave_the_message_set(
    redis: Redis, faceid: Faceid, rabbit_url: str
) -> None:
    put(redis, *(dead_letter(number) for number in range(50)), unreadable())

    ran = faceid("dead", "replay", "--all", FACEID_BROKER_URL=rabbit_url)
    again = faceid("dead", "replay", "--reason", "error", FACEID_BROKER_URL=rabbit_url)

    assert (ran.code, ran.out, again.out) == (1, "50 replayed\n", "0 replayed\n")
    assert "1 refused (NO_SUCH_QUEUE)" in ran.err, "an unreadable stream entry fits only a stream"
    assert rabbit_ids(rabbit_url) == [f"item-{number}" for number in reversed(range(50))], "oldest first"


def test_unverified_callbacks_are_replayed_to_rabbitmq_too(redis: Redis, faceid: Faceid, rabbit_url: str) -> None:
    put(redis, dead_letter(1, stage="verify", reason="bad_signature", biz_id=""), message_set="unverified")

    assert faceid("unverified", "replay", "--all", FACEID_BROKER_URL=rabbit_url).out == "1 replayed\n"
    assert len(MessageSet(redis, "faceid", "unverified")) == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_replay_to_rabbitmq_loses_nothing_and_repeats_at_most_a_batch(
    redis: Redis, redis_url: str, rabbit_url: str, how: signal.Signals
) -> None:
    faceid = Faceid({"FACEID_REDIS_URL": redis_url, "FACEID_BROKER_URL": rabbit_url})
    put(redis, *(dead_letter(number) for number in range(60)))
    process = faceid.start("dead", "replay", "--all", "--rate", "5/s")
    until(lambda: len(MessageSet(redis, "faceid", "dead")) <= 58, what="the first replayed messages")

    process.send_signal(how)
    process.communicate(timeout=LIMIT)
    left = len(MessageSet(redis, "faceid", "dead"))
    ran = faceid("dead", "replay", "--all")

    assert process.returncode in {1, -signal.SIGKILL}
    assert ran.out == f"{left} replayed\n"
    ids = rabbit_ids(rabbit_url)
    assert set(ids) == {f"item-{number}" for number in range(60)}
    assert len(ids) <= 60 + 3, "a batch is the work of a tenth of a second"


def test_nothing_leaves_the_message_set_while_rabbitmq_is_down(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1))

    ran = faceid("dead", "replay", "--all", FACEID_BROKER_URL="amqp://guest:private@127.0.0.1:9//")

    assert ran.code == 3
    assert "The broker did not store the messages" in ran.err
    assert "private" not in ran.err
    assert len(MessageSet(redis, "faceid", "dead")) == 1


def test_two_replays_at_once_replay_each_item_once(redis: Redis, faceid: Faceid) -> None:
    put(redis, *(dead_letter(number) for number in range(1000)))
    processes = [faceid.start("dead", "replay", "--all") for _ in range(2)]

    for process in processes:
        process.communicate(timeout=LIMIT)

    assert [process.returncode for process in processes] == [0, 0]
    assert ids_of(redis) == sorted(f"item-{number}" for number in range(1000))


def test_an_item_that_fails_again_during_a_replay_is_not_replayed_twice(
    redis: Redis, faceid: Faceid, redis_url: str
) -> None:
    put(redis, *(dead_letter(number) for number in range(30)))
    done = threading.Event()

    def fail_again() -> None:
        with open_redis(redis_url) as client:
            while not done.is_set():
                for place, _ in cast("list[tuple[bytes, Any]]", client.xrange(VERIFIED)):
                    client.xdel(VERIFIED, place)
                    put(client, dead_letter(1, id=f"again-{place.decode()}", at=time.time()))

    worker = threading.Thread(target=fail_again)
    worker.start()
    ran = faceid("dead", "replay", "--all", "--rate", "60/s")
    until(lambda: len(MessageSet(redis, "faceid", "dead")) == 30, what="the last failure")
    done.set()
    worker.join()

    assert ran.out == "30 replayed\n"


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 1), (b"n\n", 2), (b"", 2)])
def test_a_drop_asks_first(redis: Redis, faceid: Faceid, answer: bytes, left: int) -> None:
    put(redis, dead_letter(1), dead_letter(2, reason="poison"))

    ran = faceid("dead", "drop", "--reason", "poison", stdin=answer)

    assert "        1  reconcile: poison" in ran.out
    assert (ran.code, len(MessageSet(redis, "faceid", "dead"))) == (0 if left == 1 else 1, left)


def test_a_dropped_item_is_on_no_queue_and_leaves_a_tombstone(redis: Redis, faceid: Faceid) -> None:
    put(redis, dead_letter(1))

    assert faceid("dead", "drop", "item-1", "--yes").code == 0

    ran = faceid("dead", "show", "item-1")
    assert ran.code == 1
    assert "It was dropped by " in ran.err
    assert redis.exists(VERIFIED) == 0


def test_unverified_callbacks_are_a_message_set_of_their_own(redis: Redis, faceid: Faceid) -> None:
    forged = dead_letter(1, stage="verify", reason="bad_signature", biz_id="")
    put(redis, forged, message_set="unverified")
    put(redis, dead_letter(2))

    assert [record["id"] for record in faceid("unverified", "list", "--json").records] == ["item-1"]
    assert faceid("unverified", "replay", "--all").out == "1 replayed\n"
    assert len(MessageSet(redis, "faceid", "dead")) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("dead", "replay"),
        ("dead", "drop", "--yes"),
        ("unverified", "replay", "--all", "--reason", "malformed"),
        ("dead", "list", "--since", "yesterday"),
        ("dead", "list", "--stage", "nowhere"),
        ("dead", "replay", "--all", "--rate", "fast"),
        ("dead", "show"),
    ],
)
def test_wrong_usage_exits_with_2_and_changes_nothing(redis: Redis, faceid: Faceid, words: tuple[str, ...]) -> None:
    put(redis, dead_letter(1))
    before = everything(redis)

    ran = faceid(*words)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err != ""
    assert everything(redis) == before


@pytest.mark.parametrize(
    "words", [("dead", "list"), ("status",), ("case", "x"), ("results", "tail"), ("unverified", "replay", "--all")]
)
def test_without_redis_one_line_says_what_is_wrong_and_one_what_to_do(words: tuple[str, ...]) -> None:
    ran = Faceid({"FACEID_REDIS_URL": "redis://:private@127.0.0.1:9/0"})(*words)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("Redis can't be reached: ")
    assert ran.err.count("\n") == 2
    assert "FACEID_RE" in ran.err
    assert "private" not in ran.err


@pytest.mark.slow
def test_many_dead_letters_are_listed_filtered_and_replayed_in_little_memory(redis: Redis, faceid: Faceid) -> None:
    for start in range(0, MANY, 1000):
        put(redis, *(_usual(number) for number in range(start, start + 1000)))

    for words in (("list",), ("replay", "--reason", "poison"), ("replay", "--all")):
        seconds, megabytes = _measured(faceid, *words)
        print(f"dead {' '.join(words)}: {seconds:.1f} s, {megabytes:.0f} MB")
        assert megabytes < 120

    assert redis.xlen(VERIFIED) == MANY
    assert len(MessageSet(redis, "faceid", "dead")) == 0


def _usual(number: int) -> StoredMessage:
    """One of many dead letters, with a body of the usual length."""
    original = dead_letter(number).message
    assert original is not None
    reason = "poison" if number % 10 == 0 else "error"
    return dead_letter(
        number, at=time.time() - (MANY - number), reason=reason, message=replace(original, body=SECRET_TEXT * 33)
    )


def _measured(faceid: Faceid, *words: str) -> tuple[float, float]:
    """Seconds and peak memory in megabytes of a command. /proc is read while it runs: rusage includes this process."""
    started, peak = time.monotonic(), 0.0
    process = faceid.start("dead", *words)
    with ThreadPoolExecutor(1) as reading:
        ended = reading.submit(process.communicate, timeout=200)
        while not ended.done():
            peak = max(peak, _peak_megabytes(process.pid))
            time.sleep(0.02)
    assert (process.returncode, ended.result()[1]) == (0, "")
    return time.monotonic() - started, peak


def _peak_megabytes(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
