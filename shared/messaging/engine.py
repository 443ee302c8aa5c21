"""Which engine a broker URL names."""

from typing import Final, Literal

Engine = Literal["streams", "rabbit", "stock"]
"""`streams`: Redis Streams over our transport. `rabbit`: RabbitMQ. `stock`: any transport of kombu's own."""

STREAMS_SCHEMES: Final = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})
RABBIT_SCHEMES: Final = frozenset({"amqp", "amqps", "pyamqp"})
STOCK_PREFIX: Final = "stock+"
"""Before a Redis URL: kombu's own Redis transport, which keeps queues in Redis lists."""


def engine_of(url: str) -> Engine:
    """The engine of a broker URL. `redis://`, `rediss://` and `unix://`, and the first two with `+sentinel`,
    always mean our Streams transport.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in STREAMS_SCHEMES:
        return "streams"
    return "rabbit" if scheme in RABBIT_SCHEMES else "stock"
