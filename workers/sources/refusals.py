"""Settle message by message: one that is refused for good is set aside, and the others go on."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from shared.messaging.delivery import Delivery
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.publisher import NotStored
from shared.redis_servers.refusals import refusal_code
from workers.runtime.set_aside import set_aside
from workers.runtime.settlement import Settlement

log = structlog.get_logger()

RETRY_SECONDS: Final = 30.0
"""Before a message is set aside again that could not be set aside either. It stays held until then."""

Settle = Callable[[Sequence[Settlement]], Mapping[str, str]]
"""Settles, and returns the code of the error for the tag of each settlement that is refused for good."""


class Refusals:
    """Sets refused settlements aside. For the thread of the source."""

    def __init__(
        self,
        prefix: str,
        settle: Settle,
        delivery_of: Callable[[str], Delivery | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`delivery_of`: the held delivery of a tag, or None. `clock`: unix seconds."""
        self._prefix = prefix
        self._settle = settle
        self._delivery_of = delivery_of
        self._clock = clock
        self._waiting: dict[str, Settlement] = {}
        self._retry_at = 0.0

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settle these, and set aside those that are refused. Raises what `settle` raises while a broker is away."""
        self._put_aside(settlements, self._settle_each(settlements))

    def retry(self) -> None:
        """Set aside again what could not be set aside, if it is time. Raises as `settle` does."""
        if self._waiting and not 0.0 <= self._retry_at - self._clock() <= RETRY_SECONDS:
            self._aside(list(self._waiting.values()))

    def _put_aside(self, settlements: Sequence[Settlement], refused: Mapping[str, str]) -> None:
        aside: list[Settlement] = []
        for settlement in settlements:
            code, delivery = refused.get(settlement.tag), self._delivery_of(settlement.tag)
            if code is not None and delivery is not None:
                log.error("settlement.refused", queue=delivery.queue, id=_id(delivery), code=code)
                aside.append(set_aside(self._prefix, settlement, delivery, code, self._clock()))
        self._aside(aside)

    def _aside(self, aside: Sequence[Settlement]) -> None:
        """These wait until they are settled, so that none is lost when the broker goes away meanwhile."""
        if not aside:
            return
        self._waiting.update((settlement.tag, settlement) for settlement in aside)
        self._retry_at = self._clock() + RETRY_SECONDS
        refused = self._settle_each(aside)
        for settlement in aside:
            if (code := refused.get(settlement.tag)) is None:
                del self._waiting[settlement.tag]
            else:
                log.error("settlement.stuck", code=code, retry_in_seconds=RETRY_SECONDS)

    def _settle_each(self, settlements: Sequence[Settlement]) -> Mapping[str, str]:
        """Settle these together; one by one when an error is about one of them."""
        try:
            return self._settle(settlements)
        except (BrokerUnavailable, NotStored):
            raise
        except Exception as error:
            if not (code := _fault(error)):
                raise
            if len(settlements) == 1:
                return {settlements[0].tag: code}
        return {tag: code for settlement in settlements for tag, code in self._settle_each([settlement]).items()}


def _fault(error: Exception) -> str:
    """What is wrong with a settlement; empty for an error of a server that may be over later."""
    if isinstance(error, ValueError | TypeError | LookupError | AttributeError):
        return type(error).__name__
    return refusal_code(error)


def _id(delivery: Delivery) -> str:
    return str(delivery.headers.get("id", ""))
