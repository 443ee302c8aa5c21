"""Decisions from Redis or RabbitMQ by our own consumer, each stored once. It connects again when its connection breaks.

python ours.py redis://127.0.0.1:6379/0 verdicts.db
"""

import sqlite3
import sys

from shared.results import Decision, OnceInSql, consume

url, path = sys.argv[1:]
database = sqlite3.connect(path)
database.execute(OnceInSql.TABLE)
database.execute("CREATE TABLE IF NOT EXISTS verdicts (id TEXT, biz_id TEXT, outcome TEXT)")
once = OnceInSql("verdicts", "?")


def handle(decision: Decision) -> None:
    with database:  # one transaction: the verdict, and a row that says this decision was handled
        if once.first(database.cursor(), decision.id):
            database.execute("INSERT INTO verdicts VALUES (?, ?, ?)", (decision.id, decision.biz_id, decision.outcome))
    print(decision.id, decision.outcome, decision.biz_id, flush=True)


consume(url, handle)  # until SIGTERM or Ctrl-C
