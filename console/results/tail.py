"""`faceid results tail`: watch decisions without consuming them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast

import typer
from pydantic import ValidationError
from redis import Redis
from rich.text import Text

from console.doctor.probe import explain_error
from console.terminal.errors import ServerUnavailable, UsageError
from console.terminal.options import InAccount, OfOutcome
from console.terminal.output import COLOURS, err, plain, print_error, print_line
from console.terminal.redis_connection import open_redis
from shared.brokers.factory import TOPICS
from shared.brokers.rabbitmq_listener import Listener
from shared.events.alert import Alert
from shared.events.cloudevent import from_event
from shared.events.decision import Decision
from shared.messaging.engine import engine_of
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.topology import ALERTS, DECISIONS, queue_name
from shared.settings import Settings, load_settings

LAST: Final = 10
"""Messages of each queue that are shown before new ones."""
PAGE: Final = 500
BLOCK_MS: Final = 1000

Entry = tuple[bytes, dict[bytes, bytes]]
Message = tuple[bytes, bytes]
"""The id of the stream entry (or the exchange), and the event."""


FromStart = Annotated[bool, typer.Option("--from-start", help="Start with the oldest message, not with the last ten.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for new messages until Ctrl-C.")]
Alerts = Annotated[bool, typer.Option("--alerts", help="Show alerts too.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are printed. None: all of them."""

    account: str | None = None
    outcome: str | None = None
    alerts: bool = False

    def takes(self, message: Decision | Alert) -> bool:
        """Whether a message is wanted. An alert has no outcome, so it passes any outcome."""
        if self.account not in (None, message.account):
            return False
        return isinstance(message, Alert) or self.outcome in (None, message.outcome)


def tail(
    *,
    from_start: FromStart = False,
    follow: Follow = True,
    alerts: Alerts = False,
    account: InAccount = None,
    outcome: OfOutcome = None,
    json: Annotated[bool, typer.Option("--json", help="Print whole events; they contain personal data.")] = False,
) -> None:
    """Print decisions as they are published: time, outcome, account, biz_id and reasons. Consumes nothing.

    A decision that a consumer has deleted from the queue is not shown; `faceid case` still shows it. On RabbitMQ only
    new decisions are shown.

    Example: [cyan]faceid results tail --outcome REJECTED[/], or for another program:
    [cyan]faceid results tail --from-start --no-follow --json[/]
    """
    settings, wanted = load_settings(), Wanted(account, outcome, alerts=alerts)
    names = (DECISIONS, ALERTS) if alerts else (DECISIONS,)
    try:
        for place, event in _source(settings, names, from_start=from_start, follow=follow):
            _print(place, event, wanted, json=json)
    except KeyboardInterrupt:
        return


def _source(settings: Settings, names: Sequence[str], *, from_start: bool, follow: bool) -> Iterator[Message]:
    """The messages of these queues, as far as the broker shows them without consuming them."""
    match engine_of(settings.results_url):
        case "streams":
            queues = [queue_name(settings.prefix, name) for name in names]
            with open_redis(settings.results_url, "FACEID_RESULTS_URL") as redis:
                yield from read_streams(redis, queues, from_start=from_start, follow=follow)
        case "rabbit" if follow and not from_start:
            yield from listen(settings.results_url, settings.prefix, [TOPICS[name] for name in names])
        case "rabbit":
            raise UsageError(
                "RabbitMQ can show only new decisions: reading its queue would consume it.",
                "Leave out --from-start and --no-follow. `faceid case` shows every decision.",
            )
        case "stock":
            raise UsageError(
                "The broker of FACEID_RESULTS_URL can't show results: reading its queue would consume them.",
                "Show single cases: faceid case BIZ_ID",
            )


def listen(url: str, exchange: str, topics: Sequence[str]) -> Iterator[Message]:
    """What is published to a RabbitMQ exchange under these topics from now on, without end."""
    try:
        listener = Listener(url, exchange, topics)
        err.print(plain(f"Listening at the exchange {exchange}: new messages are shown.", "dim"), soft_wrap=True)
        while True:
            for event in listener.receive(BLOCK_MS / 1000):
                yield exchange.encode(), event
    except BrokerUnavailable as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        why = explain_error(cause, "FACEID_RESULTS_URL")
        raise ServerUnavailable(f"The broker of FACEID_RESULTS_URL: {why.found}.", why.hint) from error


def read_streams(redis: Redis, queues: Sequence[str], *, from_start: bool, follow: bool) -> Iterator[Message]:
    """What the streams hold and, with `follow`, what is added to them. Ordered by time; nothing is consumed."""
    after = dict.fromkeys(queues, b"0-0")
    if not from_start:
        last = {queue: _last(redis, queue) for queue in queues}
        yield from (_message(entry) for entry in sorted((e for es in last.values() for e in es), key=_when))
        after |= {queue: entries[-1][0] for queue, entries in last.items() if entries}
    while True:
        found = _read(redis, after, BLOCK_MS if follow else None)
        after |= {queue: entries[-1][0] for queue, entries in found.items()}
        yield from (_message(entry) for entry in sorted((e for es in found.values() for e in es), key=_when))
        if not (found or follow):
            return


def as_line(message: Decision | Alert) -> Text:
    """A message in one line, without personal data."""
    if isinstance(message, Alert):
        at, what, colour = message.at, "ALERT", "bold red"
        text = f"{message.kind}: {message.message}"
    else:
        at, what, colour = message.decided_at, message.outcome, COLOURS[message.outcome]
        text = ", ".join(reason.code for reason in message.reasons)
    return Text.assemble(
        f"{at}  ", (f"{what:<12}", colour), plain(f"  {message.account or '-'}  {message.biz_id or '-'}  {text}")
    )


def _print(place: bytes, event: bytes, wanted: Wanted, *, json: bool) -> None:
    try:
        message = from_event(event)
    except ValidationError:
        print_error(f"The entry {place.decode()} is not an event of this pipeline; it is skipped.")
        return
    if not wanted.takes(message):
        return
    if json:
        print(event.decode(), flush=True)
    else:
        print_line(as_line(message))


def _last(redis: Redis, queue: str) -> list[Entry]:
    return list(reversed(cast("list[Entry]", redis.xrevrange(queue, count=LAST))))


def _read(redis: Redis, after: dict[str, bytes], block: int | None) -> dict[str, list[Entry]]:
    streams: dict[Any, Any] = dict(after)
    reply = cast("list[tuple[bytes, list[Entry]]]", redis.xread(streams, count=PAGE, block=block))
    return {queue.decode(): entries for queue, entries in reply}


def _message(entry: Entry) -> Message:
    return entry[0], entry[1].get(b"body", b"")


def _when(entry: Entry) -> tuple[int, int]:
    milliseconds, _, number = entry[0].partition(b"-")
    return int(milliseconds), int(number)
