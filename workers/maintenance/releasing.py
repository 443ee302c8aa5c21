"""Take due items off a message set and publish them: one that can't be published holds up none of the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.ledger.message_set import MessageSet, put_commands
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.redis_servers.refusals import refusal_code
from workers.runtime.source import Source

log = structlog.get_logger()

Leaving = Sequence[tuple[StoredMessage, Message]]
DETAIL: Final = "its message could not be published: {}"


@contextmanager
def reporting() -> Iterator[None]:
    """Raise `BrokerUnavailable` for an error of a Redis that can't be reached or can't work now."""
    try:
        yield
    except RedisError as error:
        if refusal_code(error):
            raise
        raise BrokerUnavailable(type(error).__name__) from error


def readable(message_set: MessageSet, items: Sequence[StoredMessage]) -> list[StoredMessage]:
    """These items without those that can't be read, which become dead letters. Raises RedisError."""
    for stored in items:
        if stored.raw:
            log.error("item.undecodable", message_set=message_set.name, id=stored.id, detail=stored.detail)
            message_set.bury(stored)
    return [stored for stored in items if not stored.raw]


class Releaser:
    """Releases the items of one message set; one that is refused for good becomes a dead letter."""

    def __init__(self, source: Source, message_set: MessageSet, prefix: str) -> None:
        self._source = source
        self._message_set = message_set
        self._prefix = prefix

    def release(self, leaving: Leaving, *, results: bool) -> list[StoredMessage]:
        """Publish a message for each item and take the item off the set. Returns those that this call has taken.

        `results`: to the queues of results, else to the inner ones. Raises `BrokerUnavailable`.
        """
        if not leaving:
            return []
        pairs = [(stored.id, message) for stored, message in leaving]
        try:
            taken = self._source.release(self._message_set, pairs, results=results)
        except BrokerUnavailable:
            raise
        except Exception as error:
            if len(leaving) > 1:
                return [stored for one in leaving for stored in self.release([one], results=results)]
            self._set_aside(leaving[0][0], refusal_code(error) or type(error).__name__)
            return []
        return [stored for stored, _ in leaving if stored.id in taken]

    def _set_aside(self, stored: StoredMessage, code: str) -> None:
        log.error("item.refused", message_set=self._message_set.name, id=stored.id, code=code)
        letter = replace(stored, reason="error", detail=DETAIL.format(code))
        with reporting():
            self._message_set.take([(stored.id, put_commands(self._prefix, "dead", letter))])
