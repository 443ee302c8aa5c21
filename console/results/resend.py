"""`faceid results resend`: publish decisions again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Annotated, Any

import typer
from redis import Redis

from console.dead_letters.batch_move import Pace
from console.dead_letters.replay import MessagePublisher
from console.results.decision_scan import ScanCounts, Wanted, scan_decisions
from console.terminal.errors import UsageError
from console.terminal.options import Everything, InAccount, OfOutcome, Plan, Rate, Since, Until
from console.terminal.output import err, print_error, print_json, print_line, progress
from console.terminal.redis_connection import TIMEOUT, open_redis
from console.terminal.time_format import format_duration
from shared.accounts import account_names
from shared.brokers.factory import open_publisher
from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.messaging.topology import RESULT_QUEUES
from shared.settings import Settings, load_settings

EventIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of events.", show_default=False)]
BizIds = Annotated[
    list[str] | None, typer.Option("--biz-id", help="Only this case. May be repeated.", show_default=False)
]


def resend(  # noqa: PLR0913 - options of a command
    ids: EventIds = None,
    *,
    biz_id: BizIds = None,
    account: InAccount = None,
    outcome: OfOutcome = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    plan: Plan = False,
    rate: Rate = None,
    json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON object.")] = False,
) -> None:
    """Publish current decisions again, unchanged and under the same event ids, in no order.

    For a consumer that has lost messages. A consumer that ignores event ids it has seen notices nothing. --since and
    --until are times of decision. Decisions that are not published yet are left to the workers.

    Exits with 1 when an id or a biz_id is not found.

    Example: [cyan]faceid results resend --since 2h --plan[/], then the same with
    [cyan]--rate 200/s[/] instead of --plan
    """
    since, until = (-inf if since is None else since), (inf if until is None else until)
    wanted = Wanted(frozenset(ids or ()), tuple(biz_id or ()), account, outcome, since, until)
    if everything == (wanted != Wanted()):
        raise UsageError("Give ids, or filters such as --since, or --all alone.")
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        counted = _count(redis, settings, wanted) if plan or err.is_terminal else None
        if plan and counted:
            code = _end(wanted, counted, counted.outcomes.total(), rate, plan=True, json=json)
        else:
            code = _publish(redis, settings, wanted, counted, Pace(rate), json=json)
    raise typer.Exit(code)


def _count(redis: Redis, settings: Settings, wanted: Wanted) -> ScanCounts:
    found = ScanCounts()
    for _ in _decisions(redis, settings, wanted, found):
        pass
    return found


def _decisions(redis: Redis, settings: Settings, wanted: Wanted, found: ScanCounts) -> Iterator[Decision]:
    return scan_decisions(redis, settings.prefix, sorted(account_names(settings)), wanted, found)


def _publish(
    redis: Redis, settings: Settings, wanted: Wanted, counted: ScanCounts | None, pace: Pace, *, json: bool
) -> int:
    """Publish the wanted decisions with a progress bar; returns the exit code."""
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
        print_error(
            f"Stopped after {sent.count:,}.",
            "Run the same command again: it publishes all of them, under the same ids.",
        )
        if isinstance(error, KeyboardInterrupt):
            return 1
        raise
    finally:
        publisher.close()
    return _end(wanted, found, sent.count, None, plan=False, json=json)


@dataclass(slots=True)
class Sent:
    """How many the broker has stored."""

    count: int = 0


def send(
    decisions: Iterable[Decision],
    publisher: MessagePublisher,
    prefix: str,
    pace: Pace,
    sent: Sent,
    advance: Callable[[int], None],
) -> None:
    """Publish in batches, and count in `sent` what the broker has stored. Raises `NotStored`."""
    remaining = iter(decisions)
    while batch := list(islice(remaining, pace.batch)):
        pace.wait(len(batch))
        publisher.publish([to_message(decision, prefix) for decision in batch])
        sent.count += len(batch)
        advance(len(batch))


def _end(wanted: Wanted, found: ScanCounts, count: int, rate: float | None, *, plan: bool, json: bool) -> int:
    """Print the counts; returns the exit code."""
    missing = found.missing(wanted)
    if json:
        print_json(_summary(found, count, missing, plan=plan))
    else:
        _print(found, count, rate, plan=plan)
    if missing:
        print_error(f"{len(missing):,} not found among the selected decisions:", *missing)
    return 1 if missing else 0


def _summary(found: ScanCounts, count: int, missing: list[str], *, plan: bool) -> dict[str, Any]:
    return {
        "plan": plan,
        "sent": 0 if plan else count,
        "decisions": count,
        "outcomes": dict(found.outcomes),
        "unpublished": found.unpublished,
        "missing": missing,
    }


def _print(found: ScanCounts, count: int, rate: float | None, *, plan: bool) -> None:
    for outcome, decisions in found.outcomes.most_common():
        print_line(f"{decisions:>9,}  {outcome}")
    if plan:
        duration = f", in about {format_duration(count / rate)}" if rate and count else ""
        print_line(f"{count:>9,}  decision{'' if count == 1 else 's'} would be resent{duration}; nothing was changed")
    else:
        print_line(f"{count:>9,}  resent")
    if found.unpublished:
        print_line(f"{found.unpublished:>9,}  not published yet: left to the workers")
