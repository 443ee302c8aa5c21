"""Write this worker's heartbeat into the ledger."""

import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from shared.ledger.heartbeats import INTERVAL, Heartbeat, Heartbeats

MOST_NAMES = 100
"""Accounts and policies in a heartbeat; further ones are left out."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker is, from its start to its end."""

    name: str
    """`NAME@HOST`."""
    stages: Sequence[str]
    accounts: Sequence[str]
    policies: Iterable[str]
    """Digests of the policies."""


class Work(Protocol):
    """What a worker does at the moment: the pump."""

    @property
    def in_work(self) -> int:
        """Messages in work."""

    @property
    def progressed_at(self) -> float:
        """When a message was finished last, or the first one came, by `time.monotonic`."""


class HeartbeatWriter:
    """Writes one worker's heartbeat. For one thread."""

    def __init__(
        self,
        redis: "Redis",
        prefix: str,
        identity: Identity,
        skew: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The worker starts now. `skew`: Redis's clock minus this machine's, in seconds. `clock` returns seconds."""
        self._heartbeats = Heartbeats(redis, prefix)
        self._id = uuid4().hex
        self._identity = identity
        self._version = version("faceid-pipeline")
        self._clock = clock
        self._skew = skew
        self._started_at = clock()
        self._due_at = self._started_at
        self.reached = False
        """Whether Redis answered the last one."""

    def run(self, work: Work) -> None:
        """Write the heartbeat, if it is due. Never raises: the other maintenance says when Redis is away."""
        now = self._clock()
        if now < self._due_at:
            return
        self._due_at = now + INTERVAL
        try:
            self._heartbeats.write(self._id, self._heartbeat(work, now))
        except RedisError as error:
            self.reached = isinstance(error, ResponseError)
        else:
            self.reached = True

    def end(self) -> None:
        """Remove the heartbeat, unless Redis is away: then it expires."""
        if self.reached:
            try:
                self._heartbeats.remove(self._id)
            except RedisError:
                self.reached = False

    def _heartbeat(self, work: Work, now: float) -> Heartbeat:
        identity, in_work = self._identity, work.in_work
        return Heartbeat(
            name=identity.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            stages=list(identity.stages),
            accounts=sorted(identity.accounts)[:MOST_NAMES],
            policies=sorted(set(identity.policies))[:MOST_NAMES],
            in_work=in_work,
            progress_seconds=round(max(0.0, now - work.progressed_at), 1) if in_work else 0.0,
            uptime_seconds=round(now - self._started_at, 1),
            skew_seconds=round(self._skew(), 3),
        )
