"""A kombu transport over Redis Streams: consumer groups, leases, and moves that happen exactly once.

    connection = kombu.Connection("redis://127.0.0.1:6379/0", transport="shared.streams:Transport",
                                  transport_options={"group": "billing", "lease_seconds": 30})

A queue is a stream, named as the queue. A message is an entry with the fields `body`, `content_type` and `headers`
(JSON), and, where they carry something, `content_encoding` and `properties` (JSON); a settled entry is deleted,
unless `keep_settled` leaves it to other groups.

- A message read is leased to its consumer. `drain_events` renews the leases, so call it more often than every third
  of a lease, and do long work elsewhere. When a lease ends, another consumer takes the message over, with the number
  of earlier deliveries in the header `x-delivery-count`. Nothing is ever dropped for having been delivered often.
- Acknowledgements are collected and sent by the next `drain_events`, `Channel.flush` or `close`. One that comes after
  the lease was lost does nothing.
- `reject(requeue=False)` deletes the message; there is no dead letter exchange here. `reject(requeue=True)` and
  `close` hand back: any consumer takes the message at its next sweep.
- Bindings live in the memory of a connection: publish to the default exchange (routing key = queue name), or declare
  the queue on the publishing connection too.
- No command is ever sent twice by itself: after a connection error it is unknown whether the publication arrived.

Celery: `broker_url = "redis://..."`, `broker_transport = "shared.streams:Transport"`.
"""

from shared.streams.channel import Channel
from shared.streams.delivery import Delivery
from shared.streams.entry import UNDECODABLE, Message
from shared.streams.move import Move, MoveRefused
from shared.streams.options import Options
from shared.streams.transport import Transport

__all__ = ["UNDECODABLE", "Channel", "Delivery", "Message", "Move", "MoveRefused", "Options", "Transport"]
