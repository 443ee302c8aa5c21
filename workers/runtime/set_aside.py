"""What becomes of a message whose settlement is refused for good: a dead letter. No I/O."""

from dataclasses import replace
from typing import Final

from shared.events.cloudevent import NO_ACCOUNT
from shared.ledger.case_key import message_set_keys
from shared.ledger.counters import count_commands
from shared.ledger.message_set import Command, store_command
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from shared.messaging.errors import Undecodable
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_QUEUE, queue_name
from workers.runtime.settlement import Settlement

DETAIL: Final = "the settlement was refused: {}"


def set_aside(prefix: str, refused: Settlement, delivery: Delivery, code: str, now: float) -> Settlement:
    """The settlement of a message instead of a refused one: only the dead letter, and its count for an alert.

    A settlement that makes a dead letter keeps it. Else the message as it was delivered becomes one. `code`: of the
    error. `now`: unix seconds.
    """
    writes = tuple(command for command in refused.writes if command[1] in message_set_keys(prefix, "dead"))
    writes = writes or (store_command(prefix, "dead", _letter(prefix, delivery, code, now)),)
    return Settlement(refused.tag, writes=(*writes, *counted(prefix, now)))


def counted(prefix: str, now: float) -> tuple[Command, ...]:
    """The commands that count a refused settlement for the alert."""
    return count_commands(prefix, NO_ACCOUNT, "refused", now)


def _letter(prefix: str, delivery: Delivery, code: str, now: float) -> StoredMessage:
    message = Message(queue_name(prefix, delivery.queue), delivery.body, delivery.content_type, dict(delivery.headers))
    letter = StoredMessage(
        id=f"{delivery.queue}:{str(delivery.tag).partition('/')[0]}",
        stage=BY_QUEUE[delivery.queue].stage,
        reason="error",
        detail=DETAIL.format(code),
        at=now,
        message=None if delivery.entry else message,
        entry=delivery.entry,
    )
    try:
        envelope = Envelope.read(delivery.headers, delivery.content_type, delivery.body)
        envelope.id.encode()
    except (Undecodable, UnicodeError):
        return letter
    return replace(letter, id=envelope.id, attempts=envelope.attempts, account=envelope.account, biz_id=envelope.biz_id)
