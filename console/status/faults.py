"""What is wrong with the pipeline itself: `faceid status` exits with 1 then. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from console.status.snapshot import Queue, Status, Worker
from console.terminal.output import plural
from console.terminal.time_format import format_duration
from shared.messaging.topology import STAGES
from shared.redis_servers.clock_skew import MOST_SKEW
from shared.settings import Settings

SILENT_SECONDS: Final = 10.0
"""A worker sends a heartbeat every three seconds. One that sent none for so long is stopped, stuck or dead."""
LEAST_PROGRESS_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds above which something is wrong."""

    oldest: float
    """Age of the oldest message of a stage."""
    progress: float
    """How long a worker that has messages in work may finish none."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that follow from the settings."""
        progress = max(LEAST_PROGRESS_SECONDS, 3 * settings.getresult_timeout_seconds)
        return cls(settings.alert_backlog_seconds, progress)


def faults(status: Status, limits: Limits) -> list[str]:
    """What is wrong with workers and queues, each with what to do."""
    return [
        *_unread(status),
        *(text for queue in status.queues for text in _old(queue, limits)),
        *(
            f"{worker.name}, pid {worker.pid}: {text}"
            for worker in status.workers
            for text in _of_worker(worker, limits)
        ),
    ]


def _unread(status: Status) -> Iterator[str]:
    """Stages that no worker runs."""
    if not status.workers:
        yield "no worker is alive; start one: faceid worker"
        return
    read = {stage for worker in status.workers for stage in worker.stages}
    waiting = {queue.stage: queue.waiting for queue in status.queues}
    for stage in STAGES:
        if stage not in read:
            count = f", {plural(number, 'message')} waiting" if (number := waiting.get(stage)) else ""
            yield f"no worker runs {stage}{count}; start one: faceid worker {stage}"


def _old(queue: Queue, limits: Limits) -> Iterator[str]:
    if queue.oldest_seconds is not None and queue.oldest_seconds > limits.oldest:
        age, limit = format_duration(queue.oldest_seconds), format_duration(limits.oldest)
        yield f"{queue.stage}: the oldest message is {age} old, the limit is {limit}; start more workers"


def _of_worker(worker: Worker, limits: Limits) -> Iterator[str]:
    if worker.seen_seconds > SILENT_SECONDS:
        yield f"no heartbeat for {format_duration(worker.seen_seconds)}; restart it, or check its Redis"
    elif worker.progress_seconds > limits.progress:
        count, since = plural(worker.in_work, "message"), format_duration(worker.progress_seconds)
        yield f"{count} in work, none finished for {since}; read its log, then restart it"
    if abs(worker.skew_seconds) > MOST_SKEW:
        way = "behind" if worker.skew_seconds > 0 else "ahead of"
        distance = format_duration(abs(worker.skew_seconds))
        yield f"the clock of its machine is {distance} {way} Redis's; synchronise both with NTP"
