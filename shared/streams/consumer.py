import os
import secrets
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.streams import scripts
from shared.streams.delivery import CHUNK, Delivery, by_queue
from shared.streams.move import MoveCall
from shared.streams.options import Options


@dataclass(frozen=True, slots=True)
class _Pending:
    """A row of the group's pending entries list (XPENDING)."""

    entry_id: bytes
    consumer: bytes
    deliveries: int

    @property
    def abandoned(self) -> bool:
        return self.consumer != scripts.HANDED_BACK.encode()


class GroupConsumer:
    """One consumer of the consumer group: the commands that it sends to Redis under its own name.

    Every method raises a connection error when Redis is unreachable. Settling an entry that this consumer no longer
    holds has no effect.
    """

    def __init__(self, redis: Redis, options: Options) -> None:
        self.name = f"{options.consumer}-{os.getpid()}-{secrets.token_hex(4)}"
        self._redis = redis
        self._options = options
        self._lease_ms = max(1, int(options.lease_seconds * 1000))
        self._keep = int(options.keep_settled)

    def key(self, queue: str) -> str:
        """The key of a queue's stream."""
        return self._options.key_prefix + queue

    def make_group(self, queue: str) -> None:
        """Create the stream and the group if they are missing. A new group starts at the stream's first entry."""
        try:
            self._redis.xgroup_create(self.key(queue), self._options.group, id="0", mkstream=True)
        except ResponseError as error:
            if not _exists_already(error):
                raise

    def lengths(self, queues: Sequence[str]) -> list[int]:
        """Entries in each of these streams, which are created as by `make_group`. One round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.xgroup_create(self.key(queue), self._options.group, id="0", mkstream=True)
                pipe.xlen(self.key(queue))
            replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, OutOfMemoryError) and not _exists_already(reply):
                raise reply  # a full Redis refuses to create a group even if it exists, and still counts
        return replies[1::2]

    def read(self, queues: Sequence[str], count: int, block_ms: int | None = None) -> list[Delivery]:
        """New entries, at most `count` of each queue. Waits up to `block_ms` for one; None: does not wait."""
        block = () if block_ms is None else ("BLOCK", block_ms)
        keys = {self.key(queue).encode(): queue for queue in queues}
        command = ("XREADGROUP", "GROUP", self._options.group, self.name, "COUNT", count, *block, "STREAMS")
        reply = self._in_group(queues, *command, *keys, *(">" for _ in keys))
        return [Delivery(keys[key], entry_id, fields) for key, entries in reply for entry_id, fields in entries]

    def take_over(self, queue: str, most: int, held: AbstractSet[bytes]) -> tuple[list[Delivery], bool]:
        """Take entries whose lease has ended or that were handed back; also returns whether more may be waiting.

        Entries that were handed back come together. An abandoned entry comes alone: if it crashes this consumer too,
        no other entry has to wait for another lease. The abandoned entry with the fewest deliveries comes first.
        """
        overdue = self._pending(queue, "IDLE", self._lease_ms, "-", "+", most)
        rows = [row for row in overdue if row.entry_id not in held]
        abandoned = sorted((row for row in rows if row.abandoned), key=lambda row: row.deliveries)
        chosen = {row.entry_id: row for row in [row for row in rows if not row.abandoned] or abandoned[:1]}
        if not chosen:
            return [], False
        group = (self.key(queue), self._options.group, self.name)
        # XCLAIM checks the idle time again, so only one of several consumers gets an entry.
        claimed = self._in_group([queue], "XCLAIM", *group, self._lease_ms, *chosen)
        taken = [
            Delivery(queue, entry[0], entry[1], chosen[entry[0]].deliveries, chosen[entry[0]].abandoned)
            for entry in claimed
            if entry and entry[1]  # of a deleted entry Redis 7 returns nothing, other versions return nil
        ]
        deleted = set(chosen) - {delivery.entry_id for delivery in taken}
        self.settle([Delivery(queue, entry_id, ()) for entry_id in deleted], [])
        return taken, len(chosen) < len(rows) or len(overdue) == most

    def recover(self, queue: str, held: AbstractSet[bytes]) -> list[Delivery]:
        """Entries that Redis has assigned to this consumer in a reply that was lost. `held`: the known ones."""
        recovered: list[Delivery] = []
        start = "-"
        while rows := self._pending(queue, start, "+", CHUNK, self.name):
            recovered += self._fetch(queue, [row for row in rows if row.entry_id not in held])
            start = f"({rows[-1].entry_id.decode()}"
        return recovered

    def _fetch(self, queue: str, rows: Sequence[_Pending]) -> list[Delivery]:
        pipeline = self._redis.pipeline(transaction=False)
        for row in rows:
            pipeline.execute_command("XRANGE", self.key(queue), row.entry_id, row.entry_id)
        found = [
            Delivery(queue, row.entry_id, entries[0][1] if entries else (), row.deliveries - 1)
            for row, entries in zip(rows, pipeline.execute(), strict=True)
        ]
        self.settle([delivery for delivery in found if not delivery.fields], [])  # deleted since they were read
        return [delivery for delivery in found if delivery.fields]

    def renew(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Renew the leases. Returns the deliveries whose lease was already lost."""
        lost: list[Delivery] = []
        for queue, chunk in by_queue(deliveries):
            renewed = set(self._run(scripts.RENEW, queue, chunk))
            lost += [delivery for delivery in chunk if delivery.entry_id not in renewed]
        return lost

    def settle(self, acked: Iterable[Delivery], returned: Iterable[Delivery]) -> None:
        """Acknowledge the deliveries `acked` and hand back the deliveries `returned`.

        A delivery that was not attempted does not count.
        """
        returned = list(returned)
        pipeline = self._redis.pipeline(transaction=False)  # a Redis that has reached maxmemory refuses MULTI
        for script, arguments, deliveries in (
            (scripts.ACK, (*self._names, self._keep), acked),
            (scripts.HAND_BACK, (*self._names, 1), (delivery for delivery in returned if delivery.attempted)),
            (scripts.HAND_BACK, (*self._names, 0), (delivery for delivery in returned if not delivery.attempted)),
        ):
            for queue, chunk in by_queue(deliveries):
                pipeline.eval(script, 1, self.key(queue), *arguments, *(delivery.entry_id for delivery in chunk))
        if pipeline.command_stack:
            pipeline.execute()

    def move(self, call: MoveCall) -> list[int | bytes]:
        """Run moves. For each: 1 settled, 0 the lease was lost, or the error of the command that was refused."""
        keys = [self.key(delivery.queue) for delivery in call.deliveries]
        reply: list[int | bytes] = self._redis.eval(
            scripts.MOVE, len(keys), *keys, *self._names, self._keep, *call.arguments
        )
        return reply

    def remove_idle_consumers(self, queue: str, idle_seconds: float = 0, only: str = "") -> None:
        """Remove consumers that hold no entry and sent no command for `idle_seconds`. `only`: this consumer alone."""
        idle_ms = int(idle_seconds * 1000)
        self._redis.eval(scripts.REMOVE_IDLE_CONSUMERS, 1, self.key(queue), self._options.group, idle_ms, only)

    @property
    def _names(self) -> tuple[str, str]:
        return self._options.group, self.name

    def _run(self, script: str, queue: str, deliveries: Sequence[Delivery]) -> list[bytes]:
        entry_ids = (delivery.entry_id for delivery in deliveries)
        reply: list[bytes] = self._redis.eval(script, 1, self.key(queue), *self._names, *entry_ids)
        return reply

    def _pending(self, queue: str, *criteria: str | int) -> list[_Pending]:
        rows = self._in_group([queue], "XPENDING", self.key(queue), self._options.group, *criteria)
        return [_Pending(entry_id, consumer, deliveries) for entry_id, consumer, _idle, deliveries in rows]

    def _in_group(self, queues: Iterable[str], *command: Any) -> list[Any]:
        """Run a command of the group. If the group is gone (Redis lost its data), create it and return nothing."""
        try:
            return self._redis.execute_command(*command) or []
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
        for queue in queues:
            self.make_group(queue)
        return []


def _exists_already(error: Exception) -> bool:
    """Whether Redis has refused to create a group because it exists."""
    return str(error).startswith("BUSYGROUP")
