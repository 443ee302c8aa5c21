"""Decisions from RabbitMQ by pika: a queue of our own that gets only the rejected ones.

pip install pika
python pika_rabbitmq.py amqp://guest:guest@127.0.0.1:5672 verdicts.db

It ends when its connection breaks: run it under something that starts it again.
"""

import json
import sqlite3
import sys
from typing import Any

import pika

url, path = sys.argv[1:]
QUEUE = "faceid.decisions.rejected"
database = sqlite3.connect(path)
database.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, biz_id TEXT, outcome TEXT)")


def handle(event: dict[str, Any]) -> None:
    verdict = event["id"], event["subject"], event["data"]["outcome"]
    with database:  # a repeated decision has the same id and changes nothing
        database.execute("INSERT INTO verdicts VALUES (?, ?, ?) ON CONFLICT DO NOTHING", verdict)
    print(event["id"], event["data"]["outcome"], event["subject"], flush=True)


def receive(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    handle(json.loads(body))
    channel.basic_ack(method.delivery_tag)  # after handling


with pika.BlockingConnection(pika.URLParameters(url)) as connection:
    channel = connection.channel()
    channel.exchange_declare("faceid", "topic", durable=True)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, "faceid", "decision.*.rejected")
    channel.basic_qos(prefetch_count=20)
    channel.basic_consume(QUEUE, receive)
    channel.start_consuming()
