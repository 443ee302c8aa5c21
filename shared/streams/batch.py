from typing import Any

from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import RedisError

from shared.streams.client import execute


class PublishBatch:
    """The publications of one `Producer.batch()`, sent in one pipeline at its end or whenever `max_size` wait."""

    def __init__(self, channel: Any, redis: Redis, max_size: int) -> None:
        self.channel = channel
        self._pipeline = redis.pipeline(transaction=False)
        self._max_size = max_size

    def publish(self, message: dict[str, Any], **kwargs: Any) -> None:
        """Route one message into the batch."""
        self.channel.basic_publish(message, publish_batch=self, **kwargs)
        if len(self._pipeline.command_stack) >= self._max_size:
            self.flush()

    def add(self, command: tuple[str | bytes, ...]) -> None:
        """Take one command into the pipeline; for the channel."""
        self._pipeline.execute_command(*command)

    def flush(self) -> None:
        """Send what waits. Raises BatchPublishError when any of it failed: some of it may have arrived."""
        try:
            execute(self._pipeline)
        except RedisError as error:
            raise BatchPublishError("publishing failed; part of the batch may have arrived") from error

    def discard(self) -> None:
        """Forget what waits."""
        self._pipeline.reset()

    close = discard
