"""The way to a broker, whichever engine its URL means: the one place that chooses."""

from typing import Any, Final

from kombu.connection import Connection

from shared.engine import STOCK_PREFIX, engine_of
from shared.kombu_publisher import KombuPublisher
from shared.publisher import Publisher
from shared.topology import GROUP

STREAMS: Final = "shared.streams:Transport"


def open_connection(url: str, **options: Any) -> Connection:
    """A kombu connection, not yet connected; `options` are the transport's."""
    if engine_of(url) == "streams":
        return Connection(url, transport=STREAMS, transport_options={"group": GROUP, **options})
    return Connection(url.removeprefix(STOCK_PREFIX), transport_options=options)


def open_publisher(url: str, timeout: float) -> Publisher:
    """A publisher, not yet connected; `timeout` in seconds bounds each exchange with the broker."""
    return KombuPublisher(open_connection(url, socket_timeout=timeout, socket_connect_timeout=timeout))
