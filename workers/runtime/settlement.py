"""From a stage's result to what is written where. No I/O: a source writes all of it or none."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from shared.ledger.case_key import CaseKey, release_command
from shared.ledger.counters import count_commands
from shared.ledger.message_set import Command, store_command
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_QUEUE, BY_STAGE, FOLLOWING, Stage, queue_name
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult

MAX_UNVERIFIED_BODY: Final = 16_384
"""Bytes of an unverified callback's body that are kept. FaceID's callbacks are shorter."""

LONGEST_DELAY: Final = 86_400.0
"""Seconds, where the settings name no other."""


class Settlement(NamedTuple):
    """A message leaves its queue, and in the same step this is written."""

    tag: str
    """The delivery's."""
    messages: tuple[Message, ...] = ()
    """For the inner queues."""
    results: tuple[Message, ...] = ()
    """For the results broker."""
    writes: tuple[Command, ...] = ()
    """Commands for the ledger's Redis. What stores the item comes last: if another one is refused, it is not stored."""
    once: tuple[str, str, str] | None = None
    """A mark in the ledger: key, field and value in a hash. `results` are published only if the field is new."""


class Item(NamedTuple):
    """An envelope with the input of the stage before which it stands. The input becomes a body only for a queue."""

    stage: Stage
    envelope: Envelope
    value: Any

    def forward(self, value: stage_result.Value) -> "Item":
        """The item before the next stage."""
        envelope = replace(self.envelope, attempts=0) if self.envelope.attempts else self.envelope
        return Item(FOLLOWING[self.stage], envelope, value)

    @property
    def biz_id(self) -> str:
        """The case it belongs to; empty before `verify` has read it."""
        return self.envelope.biz_id if isinstance(self.value, bytes) else self.value.biz_id

    def packed(self) -> Envelope:
        """The envelope with the input as its body. The first stage's input is the body already."""
        if isinstance(self.value, bytes):
            return self.envelope
        return self.envelope.advanced(self.value.dump(), self.value.biz_id)


class Settler:
    """Makes settlements."""

    def __init__(
        self, prefix: str, max_attempts: int, clock: Callable[[], float], longest_delay: float = LONGEST_DELAY
    ) -> None:
        """`prefix` of all keys and queues; `clock`: unix seconds. `longest_delay`: of any item, in seconds."""
        self._prefix = prefix
        self._max_attempts = max_attempts
        self._clock = clock
        self._longest_delay = longest_delay

    def settle(self, tag: str, item: Item, result: StageResult) -> Settlement:
        """What follows from the result of the stage before which the item stands."""
        match result:
            case stage_result.Forward(value):
                following = item.forward(value)
                queue = queue_name(self._prefix, BY_STAGE[following.stage].reads)
                return Settlement(tag, messages=(following.packed().to_message(queue),))
            case stage_result.Publish(messages, once):
                return Settlement(tag, results=messages, once=once)
            case stage_result.Drop():
                return Settlement(tag)
            case stage_result.Unverified(reason, detail):
                counts = self._count(item) if reason == "bad_signature" else ()
                stored = self._stored(item, reason, detail).shortened(MAX_UNVERIFIED_BODY)
                return Settlement(tag, writes=(*counts, store_command(self._prefix, "unverified", stored)))
            case stage_result.Delay(seconds, why, attempt):
                return self._delay(tag, item, seconds, why, spent=int(attempt))
            case stage_result.DeadLetter(reason, detail):
                dead = store_command(self._prefix, "dead", self._stored(item, reason, detail))
                return Settlement(tag, writes=(*self._release(item), dead))

    def undecodable(self, delivery: Delivery, detail: str) -> Settlement:
        """A message that is no envelope becomes a dead letter, with its bytes as they arrived."""
        message = Message(
            queue_name(self._prefix, delivery.queue), delivery.body, delivery.content_type, dict(delivery.headers)
        )
        stored = StoredMessage(
            id=f"{delivery.queue}:{delivery.tag.partition('/')[0]}",  # the same for every worker that reads the message
            stage=BY_QUEUE[delivery.queue].stage,
            reason="undecodable",
            detail=detail,
            at=self._clock(),
            message=None if delivery.entry else message,
            entry=delivery.entry,
        )
        return Settlement(delivery.tag, writes=(store_command(self._prefix, "dead", stored),))

    def _delay(self, tag: str, item: Item, seconds: float, why: str, *, spent: int) -> Settlement:
        attempts = item.envelope.attempts + spent
        waiting = item._replace(envelope=replace(item.envelope, attempts=attempts))
        if attempts >= self._max_attempts and spent:
            return self.settle(tag, waiting, stage_result.DeadLetter("attempts_exhausted", why))
        seconds = min(max(seconds, 0.0), self._longest_delay)
        stored = self._stored(waiting, why, "", self._clock() + seconds, attempts)
        return Settlement(tag, writes=(store_command(self._prefix, "delayed", stored, seconds),))

    def _stored(
        self, item: Item, reason: str, detail: str, at: float | None = None, attempts: int = 0
    ) -> StoredMessage:
        """The item as a stored message. `attempts`: those that its message keeps, which is 0 after a replay."""
        envelope = replace(item.packed(), attempts=attempts)
        return StoredMessage(
            id=envelope.id,
            stage=item.stage,
            reason=reason,
            detail=detail,
            at=self._clock() if at is None else at,
            attempts=item.envelope.attempts,
            account=envelope.account,
            biz_id=envelope.biz_id,
            message=envelope.to_message(queue_name(self._prefix, BY_STAGE[item.stage].reads)),
        )

    def _count(self, item: Item) -> tuple[Command, ...]:
        return count_commands(self._prefix, item.envelope.account, "bad_signature", self._clock())

    def _release(self, item: Item) -> tuple[Command, ...]:
        """Another item may own the case from now on."""
        case = CaseKey(item.envelope.account, item.biz_id)
        return (release_command(self._prefix, case),) if case.biz_id else ()
