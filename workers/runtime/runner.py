"""One attempt at one message: decode it, run its stages, and make the settlement that follows."""

import time
from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.logs import raised_at
from shared.messaging.delivery import POISON_DELIVERIES, Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.errors import Undecodable
from shared.messaging.topology import BY_QUEUE, Stage
from workers.runtime import stage_result
from workers.runtime.full_ledger import FullLedger
from workers.runtime.settlement import Item, Settlement, Settler
from workers.runtime.stage_result import NAMES, StageResult

log = structlog.get_logger()

RETRY_BASE, RETRY_CAP = 1.0, 60.0
"""Seconds of backoff: a random time up to 1, 2, 4, ... and at most 60. Without a spent attempt it stays up to 1."""
UNAVAILABLE = (RedisConnectionError, RedisTimeoutError)
"""The ledger can't be reached or takes no writes now: not the message's fault, so no attempt is spent."""
LEDGER_FULL = "ledger_full"
"""The reason of an attempt that a full Redis refused. No attempt is spent, and the line about it is for debugging."""


class StageRun(Protocol):
    """A stage: makes a `StageResult` of one input. It never touches a queue."""

    def load(self, body: bytes) -> Any:
        """The input in a message's body. Raises any exception for a body that holds none."""

    async def run(self, envelope: Envelope, value: Any) -> StageResult:
        """Work on one input."""


class Runner:
    """Runs messages through the stages of this process; from stage to stage an item goes on in memory."""

    def __init__(
        self,
        stages: Mapping[Stage, StageRun],
        settler: Settler,
        full_ledger: FullLedger,
        random: Random,
    ) -> None:
        self._stages = stages
        self._settler = settler
        self._full_ledger = full_ledger
        self._random = random

    async def run(self, delivery: Delivery) -> Settlement:
        """Make one attempt at a message, and log it in one line. Raises nothing but the cancellation of the task."""
        started = time.perf_counter()
        stage = BY_QUEUE[delivery.queue].stage
        try:
            item = self._item(stage, delivery)
        except Undecodable as fault:
            log.error("attempt.settled", stage=stage, result="dead", why="undecodable", detail=str(fault))
            return self._settler.undecodable(delivery, str(fault))
        item, result = await self._advance(item, delivery.delivery_count)
        _log_attempt(item, result, started)
        return self._settler.settle(delivery.tag, item, result)

    def _item(self, stage: Stage, delivery: Delivery) -> Item:
        if delivery.fault:
            raise Undecodable(delivery.fault)
        envelope = Envelope.read(delivery.headers, delivery.content_type, delivery.body)
        if delivery.delivery_count >= POISON_DELIVERIES:
            return Item(stage, envelope, delivery.body)  # decoding it may be what kills the workers
        try:
            return Item(stage, envelope, self._stages[stage].load(delivery.body))
        except Exception as error:  # whatever a body raises, the body is at fault
            raise Undecodable(f"body: no input of {stage} ({type(error).__name__})") from None

    async def _advance(self, item: Item, delivery_count: int) -> tuple[Item, StageResult]:
        """Run one stage after another, until one ends the item or the next stage runs in another process."""
        if delivery_count >= POISON_DELIVERIES:
            return item, stage_result.DeadLetter("poison", f"delivered {delivery_count} times and never settled")
        while True:
            result = await self._attempt(item)
            if not isinstance(result, stage_result.Forward):
                return item, result
            following = item.forward(result.value)
            if following.stage not in self._stages:
                return item, result
            item = following

    async def _attempt(self, item: Item) -> StageResult:
        try:
            return await self._stages[item.stage].run(item.envelope, item.value)
        except OutOfMemoryError:
            return stage_result.Delay(self._full_ledger.refused(), LEDGER_FULL)
        except UNAVAILABLE as error:
            log.warning("ledger.unavailable", stage=item.stage, error=type(error).__name__)
            return stage_result.Delay(self._backoff(item), "ledger_unavailable")
        except RedisError as error:  # the ledger has answered with an error, which may be permanent
            log.warning("ledger.refused", stage=item.stage, error=type(error).__name__)
            return stage_result.Delay(self._backoff(item), "ledger_refused", attempt=True)
        except Exception as error:  # a bug: the dead letter can be replayed when it is fixed
            return stage_result.DeadLetter("error", f"{type(error).__name__} at {raised_at(error)}")

    def _backoff(self, item: Item) -> float:
        return full_jitter(item.envelope.attempts + 1, RETRY_BASE, RETRY_CAP, self._random)


def _log_attempt(item: Item, result: StageResult, started: float) -> None:
    why = getattr(result, "why", "") or getattr(result, "reason", "")
    envelope = item.envelope
    write = log.debug if why == LEDGER_FULL else log.info
    if isinstance(result, stage_result.DeadLetter):
        write = log.bind(detail=result.detail).error
    write(
        "attempt.settled",
        stage=item.stage,
        result=NAMES[type(result)],
        why=why,
        id=envelope.id,
        account=envelope.account,
        biz_id=item.biz_id,
        channel=envelope.channel,
        attempt=envelope.attempts + 1,
        elapsed_ms=round((time.perf_counter() - started) * 1000, 2),
    )


def full_jitter(attempt: int, base: float, cap: float, random: Random) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1): a random time up to base * 2^(attempt-1) and `cap`."""
    return random.uniform(0, min(cap, base * 2.0 ** min(attempt - 1, 62)))
