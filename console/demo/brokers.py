"""The servers that the demo is told to use, as long as no pipeline lives there."""

import os
from dataclasses import dataclass

from console.status.show import open_queue_stats
from console.terminal.errors import UsageError
from console.terminal.redis_connection import open_redis
from deploy.local.follower import can_follow
from shared.messaging.engine import engine_of
from shared.messaging.topology import INNER_QUEUES, queue_name


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where everything is to be; an empty URL leaves it to the stack."""

    redis_url: str
    broker_url: str
    results_url: str


def named_brokers(prefix: str) -> Brokers:
    """The servers that the environment names. Raises `UsageError` or, when one can't be reached, `CommandError`."""
    redis, broker, results = (os.environ.get(f"FACEID_{name}_URL", "") for name in ("REDIS", "BROKER", "RESULTS"))
    for url, setting in ((redis, "FACEID_REDIS_URL"), (broker, "FACEID_BROKER_URL")):
        if url and _is_used(url, setting, prefix):
            raise UsageError(
                f"The broker of {setting} serves a pipeline already.",
                "The demo's workers would take its callbacks. Name another database or virtual host, or unset it.",
            )
    if not can_follow(results or broker):
        raise UsageError(
            "The demo can't count the results of this broker without consuming them.",
            "Let FACEID_RESULTS_URL be redis://..., amqp://... or stock+redis://...",
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
