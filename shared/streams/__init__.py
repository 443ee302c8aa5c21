"""A kombu transport over Redis Streams, with consumer groups, leases, and moves that settle and publish in one step.

    connection = kombu.Connection("redis://127.0.0.1:6379/0", transport="shared.streams:Transport",
                                  transport_options={"group": "billing", "lease_seconds": 30})

A queue is a stream with the name of the queue. A message is a stream entry with the fields `body`, `content_type`
and `headers` (JSON), and if they are not empty `content_encoding` and `properties` (JSON). An acknowledged entry is
deleted, unless the option `keep_settled` leaves it for other groups.

- Delivery is at least once. A message that was read is leased to its consumer. `drain_events` renews the leases: call
  it more often than every third of a lease, and run long work in another thread. When a lease ends, another consumer
  takes the message over. The header `x-delivery-count` then has the number of earlier deliveries. No message is
  dropped because of its delivery count.
- Acknowledgements are buffered. The next `drain_events`, `Channel.flush` or `close` sends them. An acknowledgement
  that is sent after the lease was lost has no effect.
- `reject(requeue=False)` deletes the message: there is no dead letter exchange. `reject(requeue=True)` and `close`
  hand messages back; another consumer takes them at its next takeover check.
- Bindings exist in the memory of a connection only. Publish to the default exchange (routing key = queue name), or
  declare the queue on the publishing connection too.
- No command is retried. After a connection error the caller can't know whether a publication arrived.
- A server that has become a replica is a connection error too; the next command connects anew.

For a primary that Sentinels know, give its URL in the options, because kombu can't read it:

    connection = kombu.Connection("redis://", transport="shared.streams:Transport",
                                  transport_options={"url": "redis+sentinel://host1:26379,host2:26379/NAME/0"})

Celery: `broker_url = "redis://..."`, `broker_transport = "shared.streams:Transport"`.
"""

from shared.streams.channel import Channel
from shared.streams.delivery import Delivery
from shared.streams.entry import UNDECODABLE, Message
from shared.streams.move import Move, MoveRefused
from shared.streams.options import Options
from shared.streams.transport import Transport

__all__ = ["UNDECODABLE", "Channel", "Delivery", "Message", "Move", "MoveRefused", "Options", "Transport"]
