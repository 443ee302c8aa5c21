from queue import Empty
from time import monotonic, sleep
from typing import Any

import redis
from kombu.transport import virtual
from redis.exceptions import DataError, InvalidResponse, ResponseError

from shared.streams.channel import Channel
from shared.streams.client import CONNECTION_ERRORS, new_client
from shared.streams.options import Options

POLL_INTERVAL = 0.005
"""Seconds between two reads that do not block, because the prefetch count is used up."""


class Transport(virtual.Transport):
    """The kombu transport. Raises ValueError for an option out of range or for more than one URL."""

    Channel = Channel
    can_parse_url = True
    cycle: Any
    default_port: Any = 6379
    driver_type = "redis-streams"
    driver_name = "redis"
    implements = virtual.Transport.implements.extend(batch_publish=True)

    connection_errors: Any = (*virtual.Transport.connection_errors, *CONNECTION_ERRORS, OSError)
    recoverable_connection_errors = connection_errors
    channel_errors: Any = (*virtual.Transport.channel_errors, ResponseError, DataError, InvalidResponse)
    # Redis would refuse the command again, and kombu retries recoverable errors without a pause.
    recoverable_channel_errors = ()

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        if len(client.alt) > 1:
            raise ValueError("give one broker URL: with several, kombu fails over to its own Redis transport")
        self.options = Options.from_transport_options(client.transport_options)
        self.redis = new_client(client, self.options)

    @property
    def socket_timeout(self) -> float:
        """Seconds to wait for a reply, from the URL's query or else from the options."""
        return float(self.redis.connection_pool.connection_kwargs["socket_timeout"])

    def establish_connection(self) -> "Transport":
        """Check that Redis answers a PING. Raises a connection error when it does not."""
        self.redis.ping()
        super().establish_connection()  # type: ignore[no-untyped-call]
        return self

    def close_connection(self, connection: Any) -> None:
        """Close the channels, then the connections to Redis."""
        super().close_connection(connection)  # type: ignore[no-untyped-call]
        self.redis.connection_pool.disconnect()

    def drain_events(self, connection: Any, timeout: float | None = None, **_kwargs: Any) -> None:
        """Deliver the messages that are ready, waiting up to `timeout` seconds. Raises TimeoutError when none came."""
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        while True:
            started = monotonic()
            try:
                self.cycle.get(self._deliver, timeout=left)
            except Empty:
                pass
            else:
                return
            pause = POLL_INTERVAL - (monotonic() - started)
            if deadline is not None:
                left = deadline - monotonic()
                if left <= 0:
                    raise TimeoutError from None
                pause = min(pause, left)
            if pause > 0:
                sleep(pause)

    def driver_version(self) -> str:
        """The version of redis-py."""
        return redis.__version__
