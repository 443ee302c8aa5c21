"""What `faceid results tail` does: reads or hears the results beside their consumers, as a consumer of nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError
from redis import Redis
from rich.text import Text

from console.doctor.probe import refusal
from console.terminal.errors import CommandError, UsageError
from console.terminal.output import COLOURS, complain, err, plain, tell
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
"""Messages of each queue shown before new ones are waited for."""
PAGE: Final = 500
BLOCK_MS: Final = 1000

Entry = tuple[bytes, dict[bytes, bytes]]
Message = tuple[bytes, bytes]
"""The place in the stream, and the event."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are printed; None stands for all."""

    account: str | None = None
    outcome: str | None = None
    alerts: bool = False

    def takes(self, message: Decision | Alert) -> bool:
        """Whether a message is one of them. An alert has no outcome: it passes any."""
        if self.account not in (None, message.account):
            return False
        return isinstance(message, Alert) or self.outcome in (None, message.outcome)


def tail(wanted: Wanted, *, from_start: bool, follow: bool, json: bool) -> None:
    """Print messages until there are no more, or, with `follow`, until Ctrl-C."""
    settings = load_settings()
    names = (DECISIONS, ALERTS) if wanted.alerts else (DECISIONS,)
    try:
        for place, event in _source(settings, names, from_start=from_start, follow=follow):
            _print(place, event, wanted, json=json)
    except KeyboardInterrupt:
        return


def _source(settings: Settings, names: Sequence[str], *, from_start: bool, follow: bool) -> Iterator[Message]:
    """The messages of these queues, as the broker lets one look at them."""
    match engine_of(settings.results_url):
        case "streams":
            queues = [queue_name(settings.prefix, name) for name in names]
            with open_redis(settings.results_url, "FACEID_RESULTS_URL") as redis:
                yield from messages(redis, queues, from_start=from_start, follow=follow)
        case "rabbit" if follow and not from_start:
            yield from heard(settings.results_url, settings.prefix, [TOPICS[name] for name in names])
        case "rabbit":
            raise UsageError(
                "RabbitMQ shows what comes from now on alone: reading a queue there would consume it.",
                "Leave out --from-start and --no-follow; `faceid case` knows every decision.",
            )
        case "stock":
            raise UsageError(
                "The results are on a broker where looking at them would consume them.",
                "Look at single cases: faceid case BIZ_ID.",
            )


def heard(url: str, exchange: str, topics: Sequence[str]) -> Iterator[Message]:
    """What is published under these topics from now on, for ever, each with the exchange as its place."""
    try:
        listener = Listener(url, exchange, topics)
        err.print(plain(f"Listening at the exchange {exchange}: what comes from now on is shown.", "dim"))
        while True:
            for event in listener.receive(BLOCK_MS / 1000):
                yield exchange.encode(), event
    except BrokerUnavailable as down:
        cause = down.__cause__ if isinstance(down.__cause__, Exception) else down
        why = refusal(cause, "FACEID_RESULTS_URL")
        raise CommandError(f"The broker of FACEID_RESULTS_URL: {why.found}.", why.hint) from down


def messages(redis: "Redis", queues: Sequence[str], *, from_start: bool, follow: bool) -> Iterator[Message]:
    """What the streams hold and, with `follow`, what comes: in the order of its coming, and left where it is."""
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


def in_a_line(message: Decision | Alert) -> Text:
    """A message for people; no personal data."""
    if isinstance(message, Alert):
        at, what, colour = message.at, "ALERT", "bold red"
        told = f"{message.kind}: {message.message}"
    else:
        at, what, colour = message.decided_at, message.outcome, COLOURS[message.outcome]
        told = ", ".join(reason.code for reason in message.reasons)
    return Text.assemble(
        f"{at}  ", (f"{what:<12}", colour), plain(f"  {message.account or '-'}  {message.biz_id or '-'}  {told}")
    )


def _print(place: bytes, event: bytes, wanted: Wanted, *, json: bool) -> None:
    try:
        message = from_event(event)
    except ValidationError:
        complain(f"What is at {place.decode()} is no event of ours; it is left out.")
        return
    if not wanted.takes(message):
        return
    if json:
        print(event.decode(), flush=True)
    else:
        tell(in_a_line(message))


def _last(redis: "Redis", queue: str) -> list[Entry]:
    return list(reversed(cast("list[Entry]", redis.xrevrange(queue, count=LAST))))


def _read(redis: "Redis", after: dict[str, bytes], block: int | None) -> dict[str, list[Entry]]:
    streams: dict[Any, Any] = dict(after)
    reply = cast("list[tuple[bytes, list[Entry]]]", redis.xread(streams, count=PAGE, block=block))
    return {queue.decode(): entries for queue, entries in reply}


def _message(entry: Entry) -> Message:
    return entry[0], entry[1].get(b"body", b"")


def _when(entry: Entry) -> tuple[int, int]:
    milliseconds, _, number = entry[0].partition(b"-")
    return int(milliseconds), int(number)
