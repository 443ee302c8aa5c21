"""The loop's middle: a message becomes an item, runs through its stages, and ends in a settlement."""

import time
from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.logs import where
from shared.messaging.envelope import Envelope, Undecodable
from shared.messaging.topology import BY_QUEUE, Stage
from workers.runtime import stage_result
from workers.runtime.backoff import full_jitter
from workers.runtime.delivery import Delivery
from workers.runtime.settlement import Item, Settlement, Settler
from workers.runtime.stage_result import NAMES, StageResult

log = structlog.get_logger()

POISON_DELIVERIES = 5
"""A message that was delivered so often before and never settled kills its workers."""
RETRY_BASE, RETRY_CAP = 1.0, 60.0
"""Seconds of backoff after the first failed attempt, and at most; while the ledger is away it stays at the first."""
UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OutOfMemoryError, MasterDownError)
"""The ledger is away, full or no primary now: not the item's fault, so no attempt is spent."""


class StageRun(Protocol):
    """A stage: one input, one outcome. It never touches a queue."""

    def load(self, body: bytes) -> Any:
        """The input that a message's body holds."""

    async def run(self, envelope: Envelope, value: Any) -> StageResult:
        """Work on one item."""


class Runner:
    """Runs items through the stages of this process, in memory from one to the next as far as they are here."""

    def __init__(
        self,
        stages: Mapping[Stage, StageRun],
        settler: Settler,
        random: Random,
    ) -> None:
        self._stages = stages
        self._settler = settler
        self._random = random

    async def run(self, delivery: Delivery) -> Settlement:
        """One attempt at one message, closed by one log line. Never raises but for cancellation."""
        started = time.perf_counter()
        stage = BY_QUEUE[delivery.queue].stage
        try:
            item = self._item(stage, delivery)
        except Undecodable as fault:
            log.error("attempt.settled", stage=stage, result="dead", why="undecodable", detail=str(fault))
            return self._settler.undecodable(delivery, str(fault))
        item, result = await self._advance(item, delivery.earlier)
        _close(item, result, started)
        return self._settler.settle(delivery.tag, item, result)

    def _item(self, stage: Stage, delivery: Delivery) -> Item:
        if delivery.fault:
            raise Undecodable(delivery.fault)
        envelope = Envelope.read(delivery.headers, delivery.content_type, delivery.body)
        if delivery.earlier >= POISON_DELIVERIES:
            return Item(stage, envelope, delivery.body)  # reading it may be what kills the workers
        try:
            return Item(stage, envelope, self._stages[stage].load(delivery.body))
        except Exception as error:  # whatever a body does to its reader is the body's fault
            raise Undecodable(f"body: no input of {stage} ({type(error).__name__})") from None

    async def _advance(self, item: Item, earlier: int) -> tuple[Item, StageResult]:
        """Through one stage after another, until one ends it or the next is another process's."""
        if earlier >= POISON_DELIVERIES:
            return item, stage_result.DeadLetter("poison", f"delivered {earlier} times and never settled")
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
        except UNAVAILABLE as error:
            log.warning("ledger.unavailable", stage=item.stage, error=type(error).__name__)
            return stage_result.Delay(self._rest(item), "ledger_unavailable")
        except RedisError as error:  # it answers, and refuses: that may pass, or not
            log.warning("ledger.refused", stage=item.stage, error=type(error).__name__)
            return stage_result.Delay(self._rest(item), "ledger_refused", attempt=True)
        except Exception as error:  # a fault of ours: the item waits for its mending among the dead letters
            return stage_result.DeadLetter("error", f"{type(error).__name__} at {where(error)}")

    def _rest(self, item: Item) -> float:
        return full_jitter(item.envelope.attempts + 1, RETRY_BASE, RETRY_CAP, self._random)


def _close(item: Item, result: StageResult, started: float) -> None:
    """The one line of an attempt: what it was, how it ended, how long it took."""
    why = getattr(result, "why", "") or getattr(result, "reason", "")
    envelope = item.envelope
    write = log.info
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
