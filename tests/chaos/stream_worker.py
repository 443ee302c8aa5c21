"""A worker process to be killed: moves every message of one queue to another.

python -m tests.chaos.stream_worker URL FROM TO LEASE_SECONDS
"""

import sys
from contextlib import suppress

from shared.streams import Move
from tests.support.stream_clients import Reader, connect


def main() -> None:
    url, source, target, lease = sys.argv[1:]
    with connect(url, lease_seconds=float(lease)) as connection:
        reader = Reader(connection, source, prefetch=200)
        while True:
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)
            addition = reader.channel.entry_command
            reader.channel.move([Move(each.delivery_tag, (addition(target, each.body),)) for each in reader.messages])
            reader.messages.clear()


if __name__ == "__main__":
    main()
