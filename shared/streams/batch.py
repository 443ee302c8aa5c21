from typing import Any

from kombu.exceptions import BatchPublishError
from redis import Redis
from redis.exceptions import RedisError


class PublishBatch:
    """The messages of one `Producer.batch()`, sent as one pipeline at its end or when it holds `max_size` messages."""

    def __init__(self, channel: Any, redis: Redis, max_size: int) -> None:
        self.channel = channel
        self._pipeline = redis.pipeline(transaction=False)
        self._max_size = max_size

    def publish(self, message: dict[str, Any], **kwargs: Any) -> None:
        """Add a message to the batch. Raises what `flush` raises when the batch is full."""
        self.channel.basic_publish(message, publish_batch=self, **kwargs)
        if len(self._pipeline.command_stack) >= self._max_size:
            self.flush()

    def add(self, command: tuple[str | bytes, ...]) -> None:
        """Add a Redis command to the batch. The channel calls it for each queue that a message is routed to."""
        self._pipeline.execute_command(*command)

    def flush(self) -> None:
        """Send the batch. Raises BatchPublishError when a command failed: some messages may have been published."""
        try:
            self._pipeline.execute()
        except RedisError as error:
            raise BatchPublishError("publishing failed: part of the batch may have been published") from error

    def discard(self) -> None:
        """Drop the messages that were not sent."""
        self._pipeline.reset()

    close = discard
