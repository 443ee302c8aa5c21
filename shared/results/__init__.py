"""The consumers' package: receive decisions and alerts (at-least-once).

    from shared.results import Decision, consume

    def handle(decision: Decision) -> None:
        ...

    consume("redis://127.0.0.1:6379/0", handler=handle, group="billing")

The handler runs in the calling thread, one message at a time; start more processes to handle more. Another thread owns
the connection, so a slow handler loses neither its lease nor its connection. A message is acknowledged after its
handler returns: after a crash it may be handled again. `OnceInSql` and `OnceInRedis` drop such repeats.
"""

from shared.events.alert import Alert
from shared.events.decision import Decision
from shared.results.consume import consume, consume_alerts
from shared.results.once import OnceInRedis, OnceInSql

__all__ = ["Alert", "Decision", "OnceInRedis", "OnceInSql", "consume", "consume_alerts"]
