"""A consumer process to be killed. It notes in a database each call of its handler, and once each decision's effect.

python -m tests.chaos.results_consumer URL DATABASE SECONDS_OF_WORK [NUMBER OF THE DECISION THAT KILLS IT]
"""

import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from shared.results import Decision, OnceInSql, consume

LEASE = 1.0


def open_database(path: Path) -> sqlite3.Connection:
    """Created where missing. It survives killed processes, not a power cut."""
    database = sqlite3.connect(path, timeout=60)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    for table in (OnceInSql.TABLE, *(f"CREATE TABLE IF NOT EXISTS {name} (number INTEGER)" for name in TABLES)):
        database.execute(table)
    return database


TABLES = ("calls", "effects")


def main() -> None:
    url, path, work, *killer = sys.argv[1:]
    once = OnceInSql("billing", "?")
    with closing(open_database(Path(path))) as database:

        def handle(decision: Decision) -> None:
            number = decision.biz_no
            with database:
                database.execute("INSERT INTO calls VALUES (?)", (number,))
            if number in killer:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(float(work))
            with database:
                if once.first(database.cursor(), decision.id):
                    database.execute("INSERT INTO effects VALUES (?)", (number,))

        consume(url, handle, lease_seconds=LEASE)


if __name__ == "__main__":
    main()
