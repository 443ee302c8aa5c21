"""Metrics of the public listener."""

from typing import Final

from prometheus_client import Counter, Gauge

REFUSALS: Final = Counter("faceid_refusals", "Requests and connections that were refused.", ("kind",))
OPEN_CONNECTIONS: Final = Gauge("faceid_open_connections", "Open connections of the public listener.")
