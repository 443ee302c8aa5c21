"""Decisions from Redis Streams by redis-py: a group of our own, which gets all of them.

pip install redis
python redis_streams.py redis://127.0.0.1:6379/0 verdicts.db worker-1

The last argument names this process. No two processes of a group may have the same name. Start a process again under
its old name after a crash. A command whose connection breaks is tried again for ten seconds. After that the process
ends: run it under something that starts it again.
"""

import json
import sqlite3
import sys
from contextlib import suppress
from typing import Any

from redis import Redis, ResponseError
from redis.backoff import ConstantBackoff
from redis.retry import Retry

url, path, name = sys.argv[1:]
STREAM, GROUP = "faceid.decisions", "verdicts"
ABANDONED_MS = 30_000
redis = Redis.from_url(url, retry=Retry(ConstantBackoff(0.5), 20))  # redis-py's from_url() makes no retries by default
database = sqlite3.connect(path)
database.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, biz_id TEXT, outcome TEXT)")


def handle(event: dict[str, Any]) -> None:
    verdict = event["id"], event["subject"], event["data"]["outcome"]
    with database:  # a repeated decision has the same id and changes nothing
        database.execute("INSERT INTO verdicts VALUES (?, ?, ?) ON CONFLICT DO NOTHING", verdict)
    print(event["id"], event["data"]["outcome"], event["subject"], flush=True)


def work(entries: Any) -> None:
    for entry_id, fields in entries:
        if fields:  # empty when the decision was trimmed before it was read
            handle(json.loads(fields[b"body"]))
        redis.xack(STREAM, GROUP, entry_id)  # after handling. No XDEL: other groups read the stream too


def read(after: str, block: int | None = None) -> Any:
    reply: Any = redis.xreadgroup(GROUP, name, {STREAM: after}, count=20, block=block)
    return reply[0][1] if reply else []


with suppress(ResponseError):  # the group is there already
    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
while unfinished := read("0"):  # this process had read these before it crashed
    work(unfinished)
while True:
    _, abandoned, *_ = redis.xautoclaim(STREAM, GROUP, name, ABANDONED_MS, count=20)  # another process had read these
    work(abandoned or read(">", block=2000))
