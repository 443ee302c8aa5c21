"""For those downstream: consuming decisions and alerts, each handled once it was handled.

    from shared.results import Decision, consume

    def handle(decision: Decision) -> None:
        ...

    consume("redis://127.0.0.1:6379/0", handler=handle, group="billing")

The handler runs in the calling thread, one message at a time; start more processes for more. A thread beside it owns
the connection, so that a slow handler loses neither its lease nor its connection. Whatever is killed, a decision is
handled at least once; `OnceInSql` and `OnceInRedis` make the effect of its repeats nothing.
"""

from shared.events.alert import Alert
from shared.events.decision import Decision
from shared.results.consume import consume, consume_alerts
from shared.results.once import OnceInRedis, OnceInSql

__all__ = ["Alert", "Decision", "OnceInRedis", "OnceInSql", "consume", "consume_alerts"]
