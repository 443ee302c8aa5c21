"""Publishing to Redis Streams from an asyncio loop: one write for each batch, without a thread."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from pydantic_core import PydanticSerializationError, to_json
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError, ResponseError

from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.memory import Memory
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from shared.streams.entry import plain_fields


class StreamsPublisher:
    """An `AsyncPublisher` that publishes on a connection of its own; `queries` does everything else."""

    def __init__(self, pool: ConnectionPool, timeout: float, queries: AsyncPublisher, replicas: int = 0) -> None:
        """`pool`: makes the connection; `timeout`: seconds for a batch; `replicas`: how many must have a batch too."""
        self._pool = pool
        self._connection = pool.make_connection()
        self._timeout = timeout
        self._queries = queries
        wait_ms = max(1, int(timeout * 1000 / 2))
        self._wait = [pack_command(("WAIT", replicas, wait_ms))] if replicas else []  # type: ignore[arg-type]  # as in _packed
        self._replicas = replicas

    async def publish(self, messages: Sequence[Message]) -> Sequence[NotStored | None]:
        """Add an entry for each message. A message whose reply does not arrive in time counts as not stored.

        So do all messages of a batch that too few replicas have after half of the time-out.
        """
        answers: list[NotStored | None] = []
        try:
            async with asyncio.timeout(self._timeout):
                await self._pool.ensure_connection(self._connection)
                await self._connection.send_packed_command([*map(_packed, messages), *self._wait])
                for _ in messages:
                    answers.append(await self._answer())
                if self._wait and await self._connection.read_response() < self._replicas:
                    return [NotStored("replicas")] * len(messages)
        except (RedisError, OSError) as error:
            known = [] if self._wait else answers  # without the replicas' answer no message counts as stored
            answers = [*known, *[NotStored(type(error).__name__)] * (len(messages) - len(known))]
        except BaseException:  # a reply that is left unread would be read as the next batch's
            await self._connection.disconnect(nowait=True)
            raise
        if any(answers):
            await self._connection.disconnect(
                nowait=True
            )  # the server may have become a replica: ask for the primary again
        return answers

    async def depths(self, queues: Sequence[str]) -> list[int]:
        """Messages waiting or in work in each of `queues`. Raises `NotStored`."""
        return await self._queries.depths(queues)

    async def memory(self) -> Memory:
        """The server's memory. Raises `NotStored`."""
        return await self._queries.memory()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.disconnect(nowait=True)
        await self._queries.close()

    async def _answer(self) -> NotStored | None:
        try:
            await self._connection.read_response()
        except ResponseError as error:
            return NotStored(type(error).__name__)
        return None


def addition(message: Message) -> tuple[str | bytes, ...]:
    """The Redis command that puts a message on its queue."""
    try:
        headers = to_json(message.headers)
    except PydanticSerializationError:  # a lone surrogate, which UTF-8 can't encode: the stdlib writes it as an escape
        headers = json.dumps(dict(message.headers)).encode()
    return ("XADD", message.queue, "*", *plain_fields(message.body, message.content_type, headers))


def _packed(message: Message) -> bytes:
    command: Any = addition(message)  # hiredis's declared type is wrong: it takes all arguments as one tuple
    packed: bytes = pack_command(command)
    return packed
