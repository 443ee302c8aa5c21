"""The runner: from a message to its settlement, whatever a stage returns or raises."""

import asyncio
import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError
from structlog.testing import capture_logs

from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_STAGE, Stage
from workers.runtime import stage_result
from workers.runtime.full_ledger import FullLedger
from workers.runtime.runner import RETRY_CAP, Runner, StageRun
from workers.runtime.settlement import Settlement, Settler
from workers.runtime.stage_result import StageResult

PERSON = "Jane Doe, born 1990"
NOW = 1000.0


class Note:
    """The value that these stages forward: the names of the stages so far."""

    biz_id = "1,a"

    def __init__(self, *names: str) -> None:
        self.names = names

    def dump(self) -> bytes:
        return json.dumps(self.names).encode()


class Scripted:
    """A stage that forwards, returns a given result, or raises; it counts its runs."""

    def __init__(self, name: str, result: StageResult | BaseException | None = None) -> None:
        self.name = name
        self.result = result
        self.loads = 0
        self.runs = 0

    def load(self, body: bytes) -> Any:
        self.loads += 1
        return body if self.name == "verify" else Note(*json.loads(body))

    async def run(self, envelope: Envelope, value: Any) -> StageResult:
        self.runs += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result or stage_result.Forward(Note(*getattr(value, "names", ()), self.name))


def runner(stages: Mapping[Stage, StageRun]) -> Runner:
    full_ledger = FullLedger(lambda: False, Random(1), clock=lambda: NOW)
    return Runner(stages, Settler("p", max_attempts=3, clock=lambda: NOW), full_ledger, Random(1))


def delivery(stage: Stage = "verify", body: bytes = b"[]", delivery_count: int = 0, attempts: int = 0) -> Delivery:
    envelope = Envelope("i1", "default", "notify", "POST", 5.5, body, attempts=attempts)
    message = envelope.to_message("any")
    return Delivery("7-0/1", BY_STAGE[stage].reads, message.headers, message.content_type, body, delivery_count)


def stored(settlement: Settlement) -> tuple[str, StoredMessage]:
    assert settlement.messages == settlement.results == ()
    dump = settlement.writes[-1][-1]
    assert isinstance(dump, bytes)
    return str(settlement.writes[-1][1]).removesuffix(":items"), StoredMessage.load(dump)


# Through the stages


async def test_an_item_goes_on_in_memory_while_its_next_stage_is_in_this_process() -> None:
    stages: dict[Stage, Scripted] = {
        "verify": Scripted("verify"),
        "reconcile": Scripted("reconcile"),
        "classify": Scripted("classify", stage_result.Drop("enough")),
    }
    settled = await runner(stages).run(delivery())
    assert settled == Settlement("7-0/1")
    assert [(stage.loads, stage.runs) for stage in stages.values()] == [(1, 1), (0, 1), (0, 1)]


async def test_an_item_whose_next_stage_is_in_another_process_goes_to_its_queue() -> None:
    settled = await runner({"verify": Scripted("verify"), "classify": Scripted("classify")}).run(delivery())
    (message,) = settled.messages
    assert (message.queue, message.body) == ("p.verified", b'["verify"]')


async def test_one_process_and_several_make_the_same_message() -> None:
    together = await runner({"verify": Scripted("verify"), "reconcile": Scripted("reconcile")}).run(delivery())
    (first,) = (await runner({"verify": Scripted("verify")}).run(delivery())).messages
    between = Delivery("8-0/1", "verified", first.headers, first.content_type, first.body)
    apart = await runner({"reconcile": Scripted("reconcile")}).run(between)
    assert together.messages == apart.messages


async def test_a_delayed_item_is_stored_for_the_stage_that_delayed_it() -> None:
    settled = await runner(
        {"verify": Scripted("verify"), "reconcile": Scripted("reconcile", stage_result.Delay(60, "read_spacing"))}
    ).run(delivery())
    message_set, item = stored(settled)
    assert (message_set, item.stage, item.at) == ("p:delayed", "reconcile", NOW + 60)
    assert item.message is not None
    assert (item.message.queue, item.message.body) == ("p.verified", b'["verify"]')


# Faults


@pytest.mark.parametrize(
    "broken",
    [
        Delivery("7-0/1", "verified", {}, "", b"[]"),
        Delivery("7-0/1", "verified", {"x-undecodable": "body: missing"}, "", b"", fault="body: missing"),
        delivery("reconcile", b"no json"),
        delivery("reconcile", b"7"),
        delivery("reconcile", b"\xff"),
        delivery("reconcile", b"[" * 100_000),
    ],
    ids=["no headers", "unreadable entry", "no JSON", "another type", "no text", "too deep"],
)
async def test_an_undecodable_message_is_dead_at_once_and_its_stage_never_runs(broken: Delivery) -> None:
    stage = Scripted("reconcile")
    message_set, item = stored(await runner({"reconcile": stage}).run(broken))
    assert (message_set, item.reason, item.stage) == ("p:dead", "undecodable", "reconcile")
    assert stage.runs == 0


@pytest.mark.parametrize("count", [0, 4])
async def test_a_message_is_worked_on_up_to_its_fifth_delivery(count: int) -> None:
    stage = Scripted("verify", stage_result.Drop("fine"))
    assert await runner({"verify": stage}).run(delivery(delivery_count=count)) == Settlement("7-0/1")
    assert stage.runs == 1


@pytest.mark.parametrize("stage", ["verify", "reconcile"])
async def test_the_sixth_delivery_is_dead_as_poison_and_is_not_decoded(stage: Stage) -> None:
    scripted = Scripted(stage)
    message_set, item = stored(await runner({stage: scripted}).run(delivery(stage, b'["kills"]', delivery_count=5)))
    assert (message_set, item.reason) == ("p:dead", "poison")
    assert item.message is not None
    assert (item.message.queue, item.message.body) == (f"p.{BY_STAGE[stage].reads}", b'["kills"]')
    assert (scripted.loads, scripted.runs) == (0, 0)


async def test_an_exception_in_a_stage_makes_a_dead_letter_with_its_type_and_place() -> None:
    settled = await runner({"verify": Scripted("verify"), "reconcile": Scripted("reconcile", KeyError(PERSON))}).run(
        delivery()
    )
    message_set, item = stored(settled)
    assert (message_set, item.reason, item.stage) == ("p:dead", "error", "reconcile")
    assert item.detail.startswith("KeyError at test_runner.py:")
    assert item.detail.endswith(" in run")
    assert PERSON not in str(settled)


@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RedisConnectionError(PERSON), "ledger_unavailable"),
        (OutOfMemoryError("OOM command not allowed"), "ledger_full"),
    ],
)
async def test_while_the_ledger_is_unavailable_or_full_an_item_is_delayed_without_an_attempt(
    error: Exception, why: str, attempts: int
) -> None:
    stage = Scripted("verify", error)
    message_set, item = stored(await runner({"verify": stage}).run(delivery(attempts=attempts)))
    assert (message_set, item.reason, item.attempts) == ("p:delayed", why, attempts)
    assert NOW <= item.at <= NOW + RETRY_CAP


async def test_attempts_that_a_full_ledger_refuses_are_one_line_for_a_pause() -> None:
    full = runner({"verify": Scripted("verify", OutOfMemoryError("OOM command not allowed"))})
    with capture_logs() as lines:
        for _ in range(1_000):
            await full.run(delivery())
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == ["ledger.full"]


async def test_a_command_that_the_ledger_refuses_spends_attempts_until_the_item_is_dead() -> None:
    stage = Scripted("verify", ResponseError("WRONGTYPE"))
    message_set, item = stored(await runner({"verify": stage}).run(delivery(attempts=1)))
    assert (message_set, item.reason, item.attempts) == ("p:delayed", "ledger_refused", 2)
    message_set, item = stored(await runner({"verify": stage}).run(delivery(attempts=100)))
    assert (message_set, item.reason, item.detail) == ("p:dead", "attempts_exhausted", "ledger_refused")


async def test_the_runner_raises_nothing_but_cancellation() -> None:
    with pytest.raises(asyncio.CancelledError):
        await runner({"verify": Scripted("verify", asyncio.CancelledError())}).run(delivery())


# The closing line


async def closing_line(stages: Mapping[Stage, StageRun], message: Delivery) -> dict[str, Any]:
    with capture_logs() as lines:
        await runner(stages).run(message)
    (line,) = (dict(line) for line in lines if line["event"] == "attempt.settled")
    return line


async def test_an_attempt_is_logged_in_one_line_however_many_stages_it_runs() -> None:
    line = await closing_line(
        {"verify": Scripted("verify"), "reconcile": Scripted("reconcile", stage_result.Drop("joined"))}, delivery()
    )
    assert line.pop("elapsed_ms") >= 0
    assert line == {
        "event": "attempt.settled",
        "log_level": "info",
        "stage": "reconcile",
        "result": "drop",
        "why": "joined",
        "id": "i1",
        "account": "default",
        "biz_id": "1,a",
        "channel": "notify",
        "attempt": 1,
    }


@pytest.mark.parametrize(
    ("result", "level", "why"),
    [
        (stage_result.Delay(1, "read_spacing"), "info", "read_spacing"),
        (stage_result.Unverified("malformed", "no form"), "info", "malformed"),
        (stage_result.DeadLetter("unknown_account", "no such account"), "error", "unknown_account"),
        (KeyError(PERSON), "error", "error"),
        (RedisConnectionError(PERSON), "info", "ledger_unavailable"),
        (None, "info", ""),
    ],
)
async def test_the_log_line_has_the_reason_and_is_an_error_for_dead_letters(
    result: StageResult | Exception | None, level: str, why: str
) -> None:
    line = await closing_line({"verify": Scripted("verify", result)}, delivery(attempts=1))
    assert (line["log_level"], line["why"], line["attempt"]) == (level, why, 2)
    assert PERSON not in str(line)


async def test_an_undecodable_message_is_logged_in_one_line_too() -> None:
    line = await closing_line({"reconcile": Scripted("reconcile")}, delivery("reconcile", PERSON.encode()))
    assert (line["log_level"], line["result"], line["why"]) == ("error", "dead", "undecodable")
    assert PERSON not in str(line)
