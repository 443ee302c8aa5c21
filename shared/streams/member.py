import os
import secrets
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from shared.streams import scripts
from shared.streams.client import execute
from shared.streams.delivery import CHUNK, Delivery, by_queue
from shared.streams.move import Call
from shared.streams.options import Options


@dataclass(frozen=True, slots=True)
class _Pending:
    """A row of the group's pending list."""

    entry_id: bytes
    consumer: bytes
    deliveries: int

    @property
    def suspicious(self) -> bool:
        return self.consumer != scripts.HANDED_BACK.encode()


class Member:
    """One consumer of the group: the commands that it sends to Redis, under a name of its own."""

    def __init__(self, redis: Redis, options: Options) -> None:
        self.name = f"{options.consumer}-{os.getpid()}-{secrets.token_hex(4)}"
        self._redis = redis
        self._options = options
        self._lease_ms = max(1, int(options.lease_seconds * 1000))
        self._keep = int(options.keep_settled)

    def key(self, queue: str) -> str:
        """The stream of a queue."""
        return self._options.key_prefix + queue

    def make_group(self, queue: str) -> None:
        """Make the stream and its group where missing. The group starts at 0: what is in the stream is unsettled."""
        try:
            self._redis.xgroup_create(self.key(queue), self._options.group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, queues: Sequence[str], count: int, block_ms: int | None = None) -> list[Delivery]:
        """New entries, up to `count` of each queue; without `block_ms` it does not wait."""
        waiting = () if block_ms is None else ("BLOCK", block_ms)
        keys = {self.key(queue).encode(): queue for queue in queues}
        command = ("XREADGROUP", "GROUP", self._options.group, self.name, "COUNT", count, *waiting, "STREAMS")
        reply = self._in_group(queues, *command, *keys, *(">" for _ in keys))
        return [Delivery(keys[key], entry_id, fields) for key, entries in reply for entry_id, fields in entries]

    def take_over(self, queue: str, most: int, held: AbstractSet[bytes]) -> tuple[list[Delivery], bool]:
        """Entries whose lease ended or that were handed back, and whether more may be waiting for that.

        What was handed back comes together. An entry over which a consumer died or fell silent comes alone, since it
        may kill this one too, and would take its neighbours with it for another lease; the least suspect comes first.
        """
        overdue = self._pending(queue, "IDLE", self._lease_ms, "-", "+", most)
        rows = [row for row in overdue if row.entry_id not in held]
        poison_guard = sorted((row for row in rows if row.suspicious), key=lambda row: row.deliveries)
        chosen = {row.entry_id: row for row in [row for row in rows if not row.suspicious] or poison_guard[:1]}
        if not chosen:
            return [], False
        group = (self.key(queue), self._options.group, self.name)
        # Only one of several members gets an entry: the claim asks once more how long it was silent.
        claimed = self._in_group([queue], "XCLAIM", *group, self._lease_ms, *chosen)
        taken = [
            Delivery(queue, entry[0], entry[1], chosen[entry[0]].deliveries, chosen[entry[0]].suspicious)
            for entry in claimed
            if entry and entry[1]  # nothing where the entry was deleted: Redis 7 drops it, others answer nil
        ]
        gone = set(chosen) - {delivery.entry_id for delivery in taken}
        self.settle([Delivery(queue, entry_id, ()) for entry_id in gone], [])
        return taken, len(chosen) < len(rows) or len(overdue) == most

    def recover(self, queue: str, held: AbstractSet[bytes]) -> list[Delivery]:
        """Entries that are ours without our knowledge, because the reply that brought them was lost."""
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
        self.settle([delivery for delivery in found if not delivery.fields], [])  # deleted meanwhile
        return [delivery for delivery in found if delivery.fields]

    def renew(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Begin the leases anew; returns the deliveries that were lost before."""
        lost: list[Delivery] = []
        for queue, chunk in by_queue(deliveries):
            kept = set(self._run(scripts.RENEW, queue, chunk))
            lost += [delivery for delivery in chunk if delivery.entry_id not in kept]
        return lost

    def settle(self, acked: Iterable[Delivery], returned: Iterable[Delivery]) -> None:
        """Acknowledge the first, hand back the second; those no longer ours stay as they are."""
        pipeline = self._redis.pipeline(transaction=False)  # MULTI is refused by a full Redis
        for script, words, deliveries in (
            (scripts.ACK, (*self._names, self._keep), acked),
            (scripts.HAND_BACK, self._names, returned),
        ):
            for queue, chunk in by_queue(deliveries):
                pipeline.eval(script, 1, self.key(queue), *words, *(d.entry_id for d in chunk))
        if pipeline.command_stack:
            execute(pipeline)

    def move(self, call: Call) -> list[int | bytes]:
        """For each delivery 1 where it was ours and is settled, 0 where not, or why a command was refused."""
        keys = [self.key(delivery.queue) for delivery in call.deliveries]
        reply: list[int | bytes] = self._redis.eval(
            scripts.MOVE, len(keys), *keys, *self._names, self._keep, *call.words
        )
        return reply

    def retire(self, queue: str, idle_seconds: float = 0, only: str = "") -> None:
        """Remove members that hold nothing and have been silent for so long."""
        silent_ms = int(idle_seconds * 1000)
        self._redis.eval(scripts.RETIRE, 1, self.key(queue), self._options.group, silent_ms, only)

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
        """Run a command of the group; when the group is gone (a restart, FLUSHALL), make it and answer nothing."""
        try:
            return self._redis.execute_command(*command) or []
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
        for queue in queues:
            self.make_group(queue)
        return []
