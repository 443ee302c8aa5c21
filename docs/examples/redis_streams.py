"""Decisions from Redis Streams by redis-py: a group of our own, which gets all of them.

pip install redis
python redis_streams.py redis://127.0.0.1:6379/0 verdicts.db worker-1

The last word names this process: no two of a group may run under one name, and the same one should come back after a
crash. redis-py makes up for a short loss of Redis. At a longer one this ends: run it under something that starts it
again.
"""

import json
import sqlite3
import sys
from contextlib import suppress
from typing import Any

from redis import Redis, ResponseError

url, path, name = sys.argv[1:]
STREAM, GROUP = "faceid.decisions", "verdicts"
SILENT_MS = 30_000
redis = Redis.from_url(url)
database = sqlite3.connect(path)
database.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, biz_id TEXT, outcome TEXT)")


def handle(event: dict[str, Any]) -> None:
    verdict = event["id"], event["subject"], event["data"]["outcome"]
    with database:  # a repeat bears the same id, and changes nothing
        database.execute("INSERT INTO verdicts VALUES (?, ?, ?) ON CONFLICT DO NOTHING", verdict)
    print(event["id"], event["data"]["outcome"], event["subject"], flush=True)


def work(entries: Any) -> None:
    for entry_id, fields in entries:
        if fields:  # nothing where the retention was faster
            handle(json.loads(fields[b"body"]))
        redis.xack(STREAM, GROUP, entry_id)  # only now; never XDEL, for other groups read the stream too


def read(after: str, block: int | None = None) -> Any:
    reply: Any = redis.xreadgroup(GROUP, name, {STREAM: after}, count=20, block=block)
    return reply[0][1] if reply else []


with suppress(ResponseError):  # the group is there already
    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
while ours := read("0"):  # what this consumer held when it crashed
    work(ours)
while True:
    _, abandoned, *_ = redis.xautoclaim(STREAM, GROUP, name, SILENT_MS, count=20)  # what others left
    work(abandoned or read(">", block=2000))
