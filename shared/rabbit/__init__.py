"""RabbitMQ as kombu and py-amqp have it, with what they leave open: confirms for a whole batch, an alarm that is told
at once, calls that never wait longer than they may, and messages that can't be read without harm to the others.

A `Link` is one open connection, for one thread; once lost it stays so. A `Topology` is what has to exist on the broker;
whoever connects declares it. A `RabbitPublisher` sends batches and waits until each message is confirmed.
"""

from shared.messaging.errors import BrokerUnavailable
from shared.rabbit.link import Link, dialer
from shared.rabbit.publisher import RabbitPublisher
from shared.rabbit.topology import Topology

__all__ = ["BrokerUnavailable", "Link", "RabbitPublisher", "Topology", "dialer"]
