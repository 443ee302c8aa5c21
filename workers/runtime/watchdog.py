"""Find an item that is held longer than any stage may take, and end the process: another one takes the item over."""

import asyncio
from typing import Final, Protocol

import structlog

from shared.item_clock import ItemClock, start
from shared.messaging.delivery import Delivery

log = structlog.get_logger()

LEDGER_SECONDS: Final = 30.0
"""Longest call of the ledger: its time-outs and retries, and the batch before it."""
LEDGER_CALLS: Final = 10
"""Most calls of the ledger for one item besides those of its reads."""
CALLS_OF_READ: Final = 5
"""Most calls of the ledger for one read: a reservation is tried four times."""
TRIES_OF_READ: Final = 3
"""Calls of GetResult for one read: one that reaches nothing is repeated."""


CHECK_SECONDS: Final = 1.0
"""Between two checks."""


class StageOverdue(Exception):
    """An item was held longer than any stage may take."""


def longest_stage(getresult_timeout: float, budget: int) -> float:
    """Seconds that an item may be in work, without the times for which it waits for others."""
    read = TRIES_OF_READ * getresult_timeout + CALLS_OF_READ * LEDGER_SECONDS
    return budget * read + LEDGER_CALLS * LEDGER_SECONDS


class Ending(Protocol):
    """The pump, as far as it is used here."""

    def give_back(self, tag: str) -> None:
        """Hand a message back."""

    def fail(self, error: BaseException) -> None:
        """End, and with it the process."""


class Watchdog:
    """The clocks of the items in work. For one thread."""

    def __init__(self, limit: float) -> None:
        """`limit`: seconds, of `longest_stage`."""
        self.limit = limit
        self._clocks: dict[str, tuple[Delivery, ItemClock]] = {}

    def begin(self, delivery: Delivery) -> None:
        """The current task works on this message from now on."""
        self._clocks[delivery.tag] = (delivery, start())

    def end(self, delivery: Delivery) -> None:
        """Its work has ended."""
        self._clocks.pop(delivery.tag, None)

    def overdue(self) -> list[tuple[Delivery, float]]:
        """The messages that are held too long, and for how many seconds."""
        return [(delivery, clock.seconds) for delivery, clock in self._clocks.values() if clock.seconds > self.limit]

    async def watch(self, pump: Ending) -> None:
        """Have the pump end when a message is held too long. That message is handed back, as one that counts."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            overdue = self.overdue()
            for delivery, seconds in overdue:
                log.error(
                    "item.overdue",
                    queue=delivery.queue,
                    id=str(delivery.headers.get("id", "")),
                    held_seconds=round(seconds),
                    limit_seconds=round(self.limit),
                )
                pump.give_back(delivery.tag)
            if overdue:
                pump.fail(StageOverdue())
                return
