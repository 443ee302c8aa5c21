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
from shared.logs import where
from shared.messaging.publisher import NotStored, Publisher
from shared.results.dead_letter import Dead, dead_letter
from shared.results.queue import ResultQueue
from shared.results.received import Received

POISON_DELIVERIES: Final = 5
"""Deliveries that ended without an answer, after which a message is taken for what kills its consumers."""
REST_BASE: Final = 0.5
REST_CAP: Final = 60.0
"""Seconds of rest after a failed attempt: anywhere up to 0.5, 1, 2, ... and at most 60."""

M = TypeVar("M", bound=Decision | Alert)

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The consumer is stopping, and this message is not done with."""


class Attempts(Generic[M]):
    """What becomes of a received message: handled, after several attempts where it must be, or a dead letter."""

    def __init__(
        self,
        kind: type[M],
        handler: Callable[[M], object],
        attempts: int,
        queue: ResultQueue,
        publisher: Publisher,
        stop: threading.Event,
    ) -> None:
        self._kind = kind
        self._handler = handler
        self._attempts = attempts
        self._queue = queue
        self._publisher = publisher
        self._stop = stop

    def settle(self, received: Received) -> bool:
        """True when it is handled or among the dead letters; False when it is to be handed back.

        What the handler raises beside Exception, such as SystemExit, gets through.
        """
        try:
            try:
                self._handle(received)
            except Dead as why:
                self._bury(received, why)
        except Stopped:
            return False
        return True

    def _handle(self, received: Received) -> None:
        if received.earlier >= POISON_DELIVERIES:
            raise Dead("poison", f"delivered {received.earlier} times and never settled")
        message = self._read(received)
        retrying = Retrying(
            retry=retry_if_exception_type(Exception),
            stop=stop_after_attempt(self._attempts) | stop_when_event_set(self._stop),
            wait=wait_random_exponential(multiplier=REST_BASE, max=REST_CAP),
            sleep=sleep_using_event(self._stop),
            before_sleep=lambda state: _tell(message, state),
            reraise=True,
        )
        try:
            retrying(self._handler, message)
        except Exception as error:
            if self._stop.is_set():
                raise Stopped from None
            detail = f"{type(error).__name__} at {where(error)}"
            raise Dead("attempts_exhausted", detail, self._attempts) from error

    def _read(self, received: Received) -> M:
        if received.fault:
            raise Dead("undecodable", received.fault)
        try:
            message = from_event(received.body)
        except Exception as error:  # whatever a body does to its reader is the body's fault
            raise Dead("undecodable", f"body: no event of ours ({type(error).__name__})") from None
        if not isinstance(message, self._kind):
            raise Dead("undecodable", f"body: no {self._kind.__name__.lower()}")
        return message

    def _bury(self, received: Received, why: Dead) -> None:
        """Store the dead letter, however long it takes: only then may the message be acknowledged."""
        letter = dead_letter(received, why, self._queue)
        retrying = Retrying(
            retry=retry_if_exception_type(NotStored),
            stop=stop_when_event_set(self._stop),
            wait=wait_random_exponential(multiplier=REST_BASE, max=REST_CAP),
            sleep=sleep_using_event(self._stop),
            reraise=True,
        )
        try:
            retrying(self._publisher.publish, [letter])
        except NotStored:
            raise Stopped from None
        _log.error("dead letter in %s: %s (%s)", letter.queue, why.reason, why.detail)


def _tell(message: Decision | Alert, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        _log.warning(
            "attempt %d at %s failed: %s at %s", state.attempt_number, message.id, type(error).__name__, where(error)
        )
