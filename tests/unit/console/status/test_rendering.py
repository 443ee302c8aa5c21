from dataclasses import replace

import fakeredis
import pytest
from redis import Redis
from rich.console import Console

from console.status.consumer_lag import describe, warnings
from console.status.faults import Limits, faults
from console.status.rendering import as_record, view
from console.status.snapshot import SAMPLE, Breaker, Queue, Reader, Results, SetCounts, Status, Worker, count_items
from shared.ledger.message_set import MessageSet, put_commands
from tests.support.stored_messages import NOW, dead_letter

BILLING = Reader("billing", 2, 1, 0, 0.3, 0.1)
EMPTY = SetCounts(0, {}, estimated=False)
LIMITS = Limits(oldest=300.0, progress=60.0)
ALL = ("verify", "reconcile", "classify", "publish")
WORKER = Worker("worker-1@a", "a", 7, "1.0", ALL, ("default",), ("d1",), 5, 0.4, 0.2, "2026-11-22T07:00:00.000Z", 0.0)


def status(**fields: object) -> Status:
    known: dict[str, object] = {
        "at": NOW,
        "queues": (Queue(1200, 5, 75.0, None, "verify"), Queue(0, 0, 0.0, None, "publish")),
        "backlog": 1205,
        "max_backlog": 1_000_000,
        "message_sets": {"delayed": EMPTY, "dead": EMPTY, "unverified": EMPTY},
        "workers": (WORKER,),
        "breakers": (),
        "results": (Results("decisions", 3, (BILLING,)), Results("alerts", 0, ())),
    }
    return Status(**(known | fields))  # type: ignore[arg-type]  # known by name


def text(state: Status) -> str:
    console = Console(width=200)
    table, lines = view(state, "faceid", LIMITS)
    with console.capture() as captured:
        console.print(table, *lines, sep="\n")
    return captured.get()


def row(state: Status, start: str) -> list[str]:
    return next(line.split() for line in text(state).splitlines() if line.startswith(start))


def test_a_stage_shows_its_depth_and_the_age_of_its_oldest_message() -> None:
    assert row(status(), "verify") == ["verify", "1,200", "5", "1m", "15s", "-", "-", "-"]
    assert row(status(), "publish") == ["publish", "0", "0", "-", "-", "-", "-"]


def test_reasons_are_shown_at_their_stage() -> None:
    dead = SetCounts(3, {"publish": {"error": 2, "poison": 1}}, estimated=False)
    shown = text(status(message_sets={"delayed": EMPTY, "dead": dead, "unverified": EMPTY}))

    assert "dead 3" in shown
    assert "2 error" in shown
    assert "1 poison" in shown
    assert "estimated" not in shown


def test_estimates_are_marked() -> None:
    dead = SetCounts(90_000, {"publish": {"error": 90_000}}, estimated=True)
    shown = text(status(message_sets={"dead": dead}))

    assert "~90,000 error" in shown
    assert "estimated from 1,000 items" in shown


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([], "0 alive"),
        ([WORKER], "1 alive (version 1.0), 5 messages in work"),
        ([WORKER, replace(WORKER, version="1.1", in_work=1)], "2 alive (version 1.0 and 1.1), 6 messages in work"),
    ],
)
def test_workers_are_counted_by_their_heartbeats(workers: list[Worker], expected: str) -> None:
    assert " ".join(row(status(workers=tuple(workers)), "workers")[1:]) == expected


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, ""),
        ({"workers": ()}, "no worker is alive; start one: faceid worker"),
        ({"workers": (replace(WORKER, stages=ALL[1:]),)}, "no worker runs verify, 1,200 messages waiting; start one"),
        ({"workers": (replace(WORKER, stages=ALL[:3]),)}, "no worker runs publish; start one: faceid worker publish"),
        ({"workers": (replace(WORKER, stages=ALL[:2]), replace(WORKER, stages=ALL[2:]))}, ""),
        (
            {"queues": (Queue(1, 0, 301.0, None, "verify"),)},
            "verify: the oldest message is 5m 1s old, the limit is 5m; start more workers",
        ),
        ({"queues": (Queue(1, None, None, None, "verify"),)}, ""),
        (
            {"workers": (replace(WORKER, progress_seconds=61.0),)},
            "worker-1@a, pid 7: 5 messages in work, none finished for 1m 1s; read its log",
        ),
        ({"workers": (replace(WORKER, seen_seconds=12.0),)}, "worker-1@a, pid 7: no heartbeat for 12s; restart it"),
        ({"workers": (replace(WORKER, skew_seconds=-30.0),)}, ""),
        (
            {"workers": (replace(WORKER, skew_seconds=-86_400.0),)},
            "worker-1@a, pid 7: the clock of its machine is 1d ahead of Redis's; synchronise both with NTP",
        ),
    ],
)
def test_what_is_wrong_with_workers_and_queues_is_a_fault_and_a_warning(fields: dict[str, object], fault: str) -> None:
    state = status(**fields)
    found = faults(state, LIMITS)

    assert (len(found) == 1 and fault in found[0]) if fault else (found == [])
    assert as_record(state, "faceid", LIMITS)["warnings"] == found
    assert all(line in text(state) for line in found)


def test_an_open_breaker_is_shown_with_its_cause() -> None:
    shown = text(status(breakers=(Breaker("default", "AUTHENTICATION_ERROR", 12.0),)))

    assert "GetResult of account default is paused (AUTHENTICATION_ERROR), next try in 12s" in shown


def test_what_the_broker_does_not_say_is_shown_as_unknown() -> None:
    untold = tuple(Queue(None, None, None, None, stage) for stage in ("verify", "publish"))
    shown = text(status(queues=(), backlog=None, results=(Results("decisions", 3, None),)))

    assert (shown.count("unknown"), shown.count("does not say who reads")) == (1, 1)
    assert row(status(queues=()), "verify")[1:4] == ["?", "?", "?"]
    assert row(status(queues=untold), "verify")[1:4] == ["?", "?", "-"]


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        (Results("decisions", 0, ()), ""),
        (Results("decisions", 7, ()), "faceid.decisions: no reader, 7 messages; start a consumer"),
        (Results("decisions", 7, None), ""),
        (Results("decisions", 7, (BILLING,)), ""),
        (
            Results("decisions", 7, (Reader("audit", 1, 5, 1, 90.0, 1.0),)),
            "faceid.decisions, group audit: behind by 6, the oldest for 1m 30s; start more",
        ),
        (Results("decisions", 7, (Reader("audit", 0, 5, 0, 3.0, None),)), "XGROUP DESTROY faceid.decisions audit"),
        (
            Results("decisions", 7, (Reader("audit", 1, 5, 0, 90.0, 75.0),)),
            "no active consumer, behind by 5, the oldest for 1m 30s",
        ),
        (Results("decisions", 7, (Reader("audit", 1, 0, 0, 0.0, 9e5),)), ""),
        (Results("decisions", 999, (Reader("", 1, 999, None, None, None),)), ""),
        (
            Results("decisions", 1000, (Reader("", 1, 1000, None, None, None),)),
            "faceid.decisions: behind by 1,000; start more consumers",
        ),
    ],
)
def test_results_without_timely_readers_are_warned_about(results: Results, fault: str) -> None:
    found = list(warnings(results, "faceid"))

    assert (fault in found[0]) if fault else (found == [])
    assert as_record(status(results=(results,)), "faceid", LIMITS)["warnings"] == found
    assert all(line in text(status(results=(results,))) for line in found)


def test_a_warning_is_red() -> None:
    _, lines = view(status(results=(Results("alerts", 1, ()),)), "faceid", LIMITS)

    assert [str(span.style) for span in lines[-1].spans] == ["bold", "bold red"]


def test_results_are_shown_with_their_readers() -> None:
    assert (
        describe(Results("decisions", 3, (BILLING,)))
        == "3 decisions; read by billing (2 consumers, 1 waiting, seen 0.1s ago)"
    )
    assert describe(Results("decisions", 3, (Reader("", 1, 3, None, None, None),))) == "3 decisions; read by 1 consumer"
    assert describe(Results("alerts", 0, ())) == "0 alerts; no reader"


def test_a_record_is_plain_data() -> None:
    record = as_record(status(), "faceid", LIMITS)

    assert record["at"] == "2026-11-22T08:00:00.000Z"
    assert record["queues"][0] == {
        "stage": "verify",
        "waiting": 1200,
        "in_work": 5,
        "oldest_seconds": 75.0,
        "readers": None,
    }


@pytest.fixture
def redis() -> Redis:
    return fakeredis.FakeRedis()


def fill(redis: Redis, count: int) -> MessageSet:
    for number in range(count):
        stored = dead_letter(number, reason="poison" if number % 4 == 0 else "error", message=None)
        for command in put_commands("faceid", "dead", stored):
            redis.execute_command(*command)
    return MessageSet(redis, "faceid", "dead")


def test_a_small_message_set_is_counted(redis: Redis) -> None:
    assert count_items(fill(redis, 40)) == SetCounts(40, {"reconcile": {"error": 30, "poison": 10}}, estimated=False)


def test_an_empty_message_set_is_counted_too(redis: Redis) -> None:
    assert count_items(fill(redis, 0)) == EMPTY


def test_a_large_message_set_is_estimated(redis: Redis) -> None:
    found = count_items(fill(redis, 2 * SAMPLE))

    assert (found.total, found.estimated) == (2000, True)
    assert found.reasons["reconcile"]["poison"] == pytest.approx(500, abs=200)
    assert sum(found.reasons["reconcile"].values()) == pytest.approx(2000, abs=2)
