"""Checks of the URLs in the settings. No text here quotes a URL: it may hold a password."""

import re
from typing import Final

from shared.messaging.engine import RABBIT_SCHEMES, STOCK_PREFIX, STREAMS_SCHEMES, engine_of
from shared.redis_servers.address import SENTINEL_FORM, connection_options

SEPARATOR: Final = ";"
"""Between the addresses of one RabbitMQ cluster."""

TRANSPORTS: Final = STREAMS_SCHEMES | RABBIT_SCHEMES | {f"{STOCK_PREFIX}redis"}
"""The schemes of brokers that are tested. kombu has more, and some of them lose messages (`memory://`)."""
NO_TRANSPORT: Final = (
    "can't be used as a broker: write redis://..., rediss://..., unix://..., redis+sentinel://..., "
    "amqp://... or amqps://..., or stock+redis://... for results in kombu's own format"
)
_REDIS_PATH: Final = re.compile(r"(?:stock\+)?rediss?://[^/?#]*(?P<path>[^?#]*)")


def addresses_of(url: str) -> list[str]:
    """The addresses that the URL lists."""
    return url.split(SEPARATOR)


def fault_of(url: str) -> str:
    """What is wrong with the addresses in a URL; empty when nothing is."""
    addresses = addresses_of(url)
    if any(address.partition("://")[0].lower() not in TRANSPORTS or "://" not in address for address in addresses):
        return NO_TRANSPORT
    engines = {engine_of(address) for address in addresses}
    if len(addresses) > 1 and engines != {"rabbit"}:
        return f"lists several addresses, which only amqp://...;amqp://... may; for several Redis: {SENTINEL_FORM}"
    if (redis := _REDIS_PATH.match(url)) and not re.fullmatch(r"(?:/\d*)?", redis["path"]):
        return "has a path that is no database: write its number, such as redis://HOST:6379/0"
    if engines == {"streams"}:
        try:
            connection_options(url)
        except ValueError as error:
            return str(error)
    return ""
