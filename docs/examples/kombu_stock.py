"""Decisions by kombu's own transports: from RabbitMQ, or from Redis lists where FACEID_RESULTS_URL is stock+redis://...

pip install 'kombu[redis]'
python kombu_stock.py amqp://guest:guest@127.0.0.1:5672 verdicts.db      # or stock+redis://127.0.0.1:6379/0

It ends when its connection breaks: run it under something that starts it again.
"""

import json
import sqlite3
import sys
from contextlib import suppress
from typing import Any

from kombu import Connection, Consumer, Queue

url, path = sys.argv[1:]
database = sqlite3.connect(path)
database.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, biz_id TEXT, outcome TEXT)")
queue = Queue("faceid.decisions", durable=True, queue_arguments={"x-queue-type": "quorum"})


def handle(event: dict[str, Any]) -> None:
    verdict = event["id"], event["subject"], event["data"]["outcome"]
    with database:  # a repeated decision has the same id and changes nothing
        database.execute("INSERT INTO verdicts VALUES (?, ?, ?) ON CONFLICT DO NOTHING", verdict)
    print(event["id"], event["data"]["outcome"], event["subject"], flush=True)


def receive(message: Any) -> None:
    handle(json.loads(message.body))
    message.ack()  # after handling


try:
    with (
        Connection(url.removeprefix("stock+"), heartbeat=30) as connection,
        Consumer(connection, [queue], on_message=receive, prefetch_count=20),
    ):
        while True:
            with suppress(TimeoutError):
                connection.drain_events(timeout=5)
            connection.heartbeat_check()
except Exception as error:
    if "WRONGTYPE" in str(error):
        sys.exit(
            "There the decisions are a Redis stream. Set FACEID_RESULTS_URL=stock+redis://..., and give it here too."
        )
    raise
