"""The servers that the environment names for the demo. The demo refuses a server that a pipeline uses."""

import os
from dataclasses import dataclass

from console.status.brokers import open_queue_stats
from console.terminal.errors import UsageError
from console.terminal.redis_connection import open_redis
from deploy.local.result_watcher import can_watch
from shared.messaging.engine import engine_of
from shared.messaging.topology import INNER_QUEUES, queue_name


@dataclass(frozen=True, slots=True)
class Brokers:
    """URLs of the servers. Empty: the stack starts its own."""

    redis_url: str
    broker_url: str
    results_url: str


def named_brokers(prefix: str) -> Brokers:
    """The servers that the environment names. Raises `UsageError`, or `CommandError` when one can't be reached."""
    redis, broker, results = (os.environ.get(f"FACEID_{name}_URL", "") for name in ("REDIS", "BROKER", "RESULTS"))
    for url, setting in ((redis, "FACEID_REDIS_URL"), (broker, "FACEID_BROKER_URL")):
        if url and _is_used(url, setting, prefix):
            raise UsageError(
                f"A pipeline uses the broker of {setting} already.",
                "The demo's workers would take its callbacks. Name another database or virtual host, or unset it.",
            )
    if not can_watch(results or broker):
        raise UsageError(
            "The demo can't count results on this broker without consuming them.",
            "Set FACEID_RESULTS_URL to redis://..., amqp://... or stock+redis://...",
        )
    return Brokers(redis, broker, results)


def _is_used(url: str, setting: str, prefix: str) -> bool:
    queues = [queue_name(prefix, queue) for queue in INNER_QUEUES]
    if engine_of(url) == "streams":
        with open_redis(url, setting) as redis:
            return bool(redis.exists(*queues))
    with open_queue_stats(url, setting) as stats:
        depths = [stats.depth(queue) for queue in queues]
    return any(depth.waiting or depth.readers for depth in depths)
