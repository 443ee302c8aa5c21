"""What `faceid results resend` does."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis import Redis

from console.dead_letters.batch_move import Pace
from console.dead_letters.replay import Sink
from console.results.decision_scan import ScanCounts, Wanted, scan_decisions
from console.terminal.output import as_json, complain, err, tell
from console.terminal.progress import progress
from console.terminal.redis_connection import TIMEOUT, open_redis
from console.terminal.time_format import span
from shared.brokers.factory import open_publisher
from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.messaging.topology import RESULT_QUEUES
from shared.settings import Settings, account_names, load_settings


def resend(wanted: Wanted, *, plan: bool, rate: float | None, json: bool) -> int:
    """Publish decisions that stand once more, or say how many that would be; returns the exit code."""
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        counted = _count(redis, settings, wanted) if plan or err.is_terminal else None
        if plan and counted:
            return _end(wanted, counted, counted.outcomes.total(), rate, plan=True, json=json)
        return _carry_out(redis, settings, wanted, counted, Pace(rate), json=json)


def _count(redis: "Redis", settings: Settings, wanted: Wanted) -> ScanCounts:
    found = ScanCounts()
    for _ in _decisions(redis, settings, wanted, found):
        pass
    return found


def _decisions(redis: "Redis", settings: Settings, wanted: Wanted, found: ScanCounts) -> Iterator[Decision]:
    return scan_decisions(redis, settings.prefix, sorted(account_names(settings)), wanted, found)


def _carry_out(
    redis: "Redis", settings: Settings, wanted: Wanted, counted: ScanCounts | None, pace: Pace, *, json: bool
) -> int:
    """Publish them, showing how far it is; an interruption says how far it came."""
    found, sent = ScanCounts(), Sent()
    publisher = open_publisher(
        settings.results_url,
        TIMEOUT,
        prefix=settings.prefix,
        queues=RESULT_QUEUES,
        retention_days=settings.retention_days,
    )
    try:
        with progress() as shown:
            bar = shown.add_task("resent", total=counted.outcomes.total() if counted else None)
            decisions = _decisions(redis, settings, wanted, found)
            send(decisions, publisher, settings.prefix, pace, sent, lambda count: shown.advance(bar, count))
    except BaseException as error:
        complain(f"Stopped after {sent.count:,}.", "Run again, these too go out once more: under the same ids.")
        if isinstance(error, KeyboardInterrupt):
            return 1
        raise
    finally:
        publisher.close()
    return _end(wanted, found, sent.count, None, plan=False, json=json)


@dataclass(slots=True)
class Sent:
    """How many are out."""

    count: int = 0


def send(
    decisions: Iterable[Decision],
    sink: Sink,
    prefix: str,
    pace: Pace,
    sent: Sent,
    advance: Callable[[int], None],
) -> None:
    """Publish in batches, noting in `sent` what the broker holds; raises `NotStored`."""
    waiting = iter(decisions)
    while batch := list(islice(waiting, pace.batch)):
        pace.wait(len(batch))
        sink.publish([to_message(decision, prefix) for decision in batch])
        sent.count += len(batch)
        advance(len(batch))


def _end(wanted: Wanted, found: ScanCounts, count: int, rate: float | None, *, plan: bool, json: bool) -> int:
    """Say what it came to; returns the exit code."""
    missing = found.missing(wanted)
    if json:
        as_json(_summary(found, count, missing, plan=plan))
    else:
        _tell(found, count, rate, plan=plan)
    if missing:
        complain(f"{len(missing)} not among the decisions that are meant:", *missing)
    return 3 if missing else 0


def _summary(found: ScanCounts, count: int, missing: list[str], *, plan: bool) -> dict[str, Any]:
    return {
        "plan": plan,
        "sent": 0 if plan else count,
        "decisions": count,
        "outcomes": dict(found.outcomes),
        "unpublished": found.unpublished,
        "missing": missing,
    }


def _tell(found: ScanCounts, count: int, rate: float | None, *, plan: bool) -> None:
    for outcome, of_it in found.outcomes.most_common():
        tell(f"{of_it:>9,}  {outcome}")
    if plan:
        lasting = f", in about {span(count / rate)}" if rate and count else ""
        tell(f"{count:>9,}  decisions would be resent{lasting}; nothing was changed")
    else:
        tell(f"{count:>9,}  resent")
    if found.unpublished:
        tell(f"{found.unpublished:>9,}  decided and not published yet: the workers will")
