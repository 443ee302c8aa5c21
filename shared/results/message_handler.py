import logging
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from shared.events.alert import Alert
from shared.events.cloudevent import from_event
from shared.events.decision import Decision
from shared.logs import raised_at
from shared.messaging.delivery import POISON_DELIVERIES, Delivery
from shared.messaging.publisher import NotStored, Publisher
from shared.results.dead_letter import PermanentFailure, to_dead_letter
from shared.results.queue import ResultQueue

BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 60.0
"""Seconds to wait after a failed attempt: a random time up to 0.5, 1, 2, ... and at most 60."""

M = TypeVar("M", bound=Decision | Alert)

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The consumer is stopping, and the message is neither handled nor a dead letter yet."""


class MessageHandler(Generic[M]):
    """Decodes a message and calls the consumer's handler, with retries; makes a dead letter of one that fails."""

    def __init__(
        self,
        kind: type[M],
        handler: Callable[[M], object],
        attempts: int,
        queue: ResultQueue,
        publisher: Publisher,
        stop: threading.Event,
    ) -> None:
        """`kind`: what `handler` takes; `attempts`: calls for one message; `publisher`: of the dead letters."""
        self._kind = kind
        self._handler = handler
        self._attempts = attempts
        self._queue = queue
        self._publisher = publisher
        self._stop = stop

    def handle(self, delivery: Delivery) -> bool:
        """True when the message is handled or stored as a dead letter; False when the stop came first.

        Exceptions of the handler that are no `Exception`, such as SystemExit, get through.
        """
        try:
            try:
                self._call(self._decode(delivery))
            except PermanentFailure as failure:
                self._store_dead_letter(delivery, failure)
        except Stopped:
            return False
        return True

    def _decode(self, delivery: Delivery) -> M:
        if delivery.delivery_count >= POISON_DELIVERIES:  # decoding it may be what kills the consumers
            raise PermanentFailure("poison", f"delivered {delivery.delivery_count} times and never settled")
        if delivery.fault:
            raise PermanentFailure("undecodable", delivery.fault)
        try:
            message = from_event(delivery.body)
        except Exception as error:  # whatever a body raises, the body is at fault
            raise PermanentFailure("undecodable", f"body: no event of ours ({type(error).__name__})") from None
        if not isinstance(message, self._kind):
            raise PermanentFailure("undecodable", f"body: no {self._kind.__name__.lower()}")
        return message

    def _call(self, message: M) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(Exception),
            stop=stop_after_attempt(self._attempts) | stop_when_event_set(self._stop),
            wait=wait_random_exponential(multiplier=BACKOFF_BASE, max=BACKOFF_CAP),
            sleep=sleep_using_event(self._stop),
            before_sleep=lambda state: _log_attempt(message, state),
            reraise=True,
        )
        try:
            retrying(self._handler, message)
        except Exception as error:
            if self._stop.is_set():
                raise Stopped from None
            detail = f"{type(error).__name__} at {raised_at(error)}"
            raise PermanentFailure("attempts_exhausted", detail, self._attempts) from error

    def _store_dead_letter(self, delivery: Delivery, failure: PermanentFailure) -> None:
        """Publish it, however long that takes: the message may be acknowledged only after that."""
        letter = to_dead_letter(delivery, failure, self._queue)
        retrying = Retrying(
            retry=retry_if_exception_type(NotStored),
            stop=stop_when_event_set(self._stop),
            wait=wait_random_exponential(multiplier=BACKOFF_BASE, max=BACKOFF_CAP),
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )
        try:
            retrying(self._publisher.publish, [letter])
        except NotStored:
            raise Stopped from None
        _log.error("message.dead_lettered queue=%s reason=%s detail=%s", letter.queue, failure.reason, failure.detail)


def _log_attempt(message: Decision | Alert, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        _log.warning(
            "attempt.failed attempt=%d id=%s error=%s at=%s",
            state.attempt_number,
            message.id,
            type(error).__name__,
            raised_at(error),
        )
