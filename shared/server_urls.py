"""Checks of the URLs in the settings. No text here quotes a URL: it may hold a password."""

from typing import Final

from shared.messaging.engine import engine_of
from shared.redis_servers.address import SENTINEL_FORM, connection_options

SEPARATOR: Final = ";"
"""Between the addresses of one RabbitMQ cluster."""


def addresses_of(url: str) -> list[str]:
    """The addresses that the URL lists."""
    return url.split(SEPARATOR)


def fault_of(url: str) -> str:
    """What is wrong with the addresses in a URL; empty when nothing is."""
    addresses = addresses_of(url)
    engines = {engine_of(address) for address in addresses}
    if len(addresses) > 1 and engines != {"rabbit"}:
        return f"lists several addresses, which only amqp://...;amqp://... may; for several Redis: {SENTINEL_FORM}"
    if engines == {"streams"}:
        try:
            connection_options(url)
        except ValueError as error:
            return str(error)
    return ""
