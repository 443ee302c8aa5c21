"""RabbitMQ over kombu and py-amqp, with what these lack: publisher confirms for a whole batch, a broker alarm that is
reported at once, a time limit for every call, and unreadable messages that do not stop the others.

A `Link` is one open connection, for one thread; a lost link stays lost. A `Topology` is what has to exist on the
broker; each new connection declares it. A `RabbitPublisher` sends batches and waits until each message is confirmed.
A `Receiver` reads queues and acknowledges messages; it connects anew after a loss.
"""

from shared.rabbit.link import Link, dialer
from shared.rabbit.publisher import RabbitPublisher
from shared.rabbit.receiver import Receiver
from shared.rabbit.topology import Topology

__all__ = ["Link", "RabbitPublisher", "Receiver", "Topology", "dialer"]
