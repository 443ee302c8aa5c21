"""A message to be published, and the versions of what the pipeline stores.

An item without a version has version 1. A reader ignores fields that it does not know, and keeps them where it writes
the item again. It refuses an item of a version that is newer than its own: the writer raises the version only where an
older reader would misunderstand the item. `tests/vectors/form_v1` has what version 1 wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.messaging.errors import Undecodable

FIELD: Final = "v"
"""The version's name in headers, in a stored message and in the hash of a case."""
ENVELOPE_VERSION: Final = 1
STORED_MESSAGE_VERSION: Final = 2
"""2: the body is bytes behind a line of JSON."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one queue, by the queue's full name."""

    queue: str
    body: bytes = field(repr=False)
    content_type: str
    headers: Mapping[str, str | int | float] = field(repr=False)
    topic: str = ""
    """A result's routing key on RabbitMQ, such as `decision.default.approved`. Empty on the inner queues."""


def check_version(record: Mapping[str, Any], known: int) -> None:
    """Raise `Undecodable` when the version of the item is not an integer, or newer than `known`."""
    version = record.get(FIELD, 1)
    if type(version) is not int or version < 1:
        raise Undecodable("version: no number")
    if version > known:
        raise Undecodable(f"version: newer than {known}, which this process reads")
