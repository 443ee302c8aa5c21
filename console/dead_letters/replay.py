"""`faceid dead|unverified replay`: put items back on the queue of their stage."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Annotated, Final, Protocol

import typer
from redis.exceptions import RedisError

from console.dead_letters.batch_move import NO_QUEUE, SHORTENED, UNREADABLE, BatchAction, MoveContext, Pace, run
from console.dead_letters.rendering import print_missing, print_plan
from console.dead_letters.selection import count, count_by_kind, select
from console.terminal.options import Everything, ForReason, Ids, InAccount, OfCase, OfStage, Plan, Rate, Since, Until
from console.terminal.redis_connection import TIMEOUT, open_redis
from shared.brokers.factory import open_publisher
from shared.brokers.redis_streams_publisher import addition
from shared.brokers.servers import name_each_server_once
from shared.ledger.case_key import message_set_keys
from shared.ledger.message_set import Command, MessageSet
from shared.messaging.engine import engine_of
from shared.messaging.message import Message
from shared.messaging.stored_message import StoredMessage
from shared.messaging.topology import BY_STAGE, INNER_QUEUES, queue_name
from shared.settings import Settings, load_settings

_COUNTERS: Final = frozenset({"attempts", "x-delivery-count"})


def replay(  # noqa: PLR0913 - options of a command
    ctx: typer.Context,
    ids: Ids = None,
    *,
    stage: OfStage = None,
    reason: ForReason = None,
    account: InAccount = None,
    biz_id: OfCase = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    plan: Plan = False,
    rate: Rate = None,
    note: Annotated[str, typer.Option(help="Why. It is kept on the case, with your user name and the time.")] = "",
) -> None:
    """Put items back on the queue of their stage, with their attempts reset.

    May be interrupted and run again: no item is replayed twice. Exits with 1 when an id is not found or an item was
    refused.

    Example: [cyan]faceid NAME replay --reason REASON --plan[/], then the same with
    [cyan]--rate 50/s --note "fixed in 1.4.2"[/] instead of --plan
    """
    selection = select(ids, stage, reason, account, biz_id, since, until).within(ctx.obj).require(everything)
    settings = load_settings()
    with open_redis(settings.redis_url) as redis:
        message_set = MessageSet(redis, settings.prefix, ctx.obj)
        selection = selection.up_to(message_set.newest())  # an item that fails again meanwhile is not replayed again
        found = count_by_kind(message_set, selection) if plan else count(message_set, selection)
        if found.missing:
            print_missing(ctx.obj, found.missing)
        if plan:
            print_plan(ctx.obj, found, settings.prefix, rate)
            raise typer.Exit(1 if found.missing else 0)
        context, tombstones = MoveContext.now(settings, ctx.obj, note), MessageSet(redis, settings.prefix, "tombstones")
        with _open_action(_compared(settings), context, tombstones) as action:
            raise typer.Exit(run(message_set, selection, found, action, Pace(rate), "replayed"))


class Replay:
    """Replay to queues on the ledger's Redis: an item leaves the message set and reaches its queue in one step."""

    def __init__(self, context: MoveContext, tombstones: MessageSet) -> None:
        self._context = context
        self._tombstones = tombstones

    def refusal(self, stored: StoredMessage) -> str:
        """Only an item with its whole body can be replayed."""
        if stored.raw:
            return UNREADABLE
        return SHORTENED if stored.body_bytes else ""

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Make room for notes."""
        if self._context.note:
            self._context.make_room(self._tombstones, batch)

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The note, then the message: when Redis refuses the note, nothing is on the queue."""
        note, prefix = self._context.replay_commands(stored), self._context.prefix
        if stored.origin:
            return (*note, *return_commands(prefix, stored))
        if stored.message is None:
            return (*note, entry_addition(prefix, stored))
        return (*note, addition(without_attempts(stored.message)))


class MessagePublisher(Protocol):
    """A `Publisher`, as far as it is used here."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Store all messages; raises `NotStored`."""


class CrossServerReplay:
    """Replay to another broker: publish first, then take. An interruption may repeat a message, but loses none."""

    def __init__(
        self,
        context: MoveContext,
        tombstones: MessageSet,
        publisher: MessagePublisher,
        add: Callable[[Sequence[Command]], None] | None,
    ) -> None:
        """`add` runs Redis commands on the broker; None when the broker is not Redis."""
        self._context = context
        self._tombstones = tombstones
        self._publisher = publisher
        self._add = add

    def refusal(self, stored: StoredMessage) -> str:
        """An item needs its whole body, and an entry that could not be read fits only a Redis stream."""
        if stored.raw:
            return UNREADABLE
        if stored.body_bytes:
            return SHORTENED
        return "" if stored.message is not None or stored.origin or self._add is not None else NO_QUEUE

    def prepare(self, batch: Sequence[StoredMessage]) -> None:
        """Make room for notes, and publish; raises `NotStored`, or `redis.RedisError`."""
        if self._context.note:
            self._context.make_room(self._tombstones, batch)
        self._publisher.publish([without_attempts(stored.message) for stored in batch if stored.message is not None])
        entries = [
            entry_addition(self._context.prefix, stored)
            for stored in batch
            if stored.message is None and not stored.origin
        ]
        if entries and self._add is not None:
            self._add(entries)

    def commands(self, stored: StoredMessage) -> Sequence[Command]:
        """The note; and what came from a message set goes back there, since the sets are in this Redis."""
        back = return_commands(self._context.prefix, stored) if stored.origin else ()
        return (*self._context.replay_commands(stored), *back)


def without_attempts(message: Message) -> Message:
    """The message without its counts of attempts and deliveries."""
    return replace(message, headers={name: value for name, value in message.headers.items() if name not in _COUNTERS})


def entry_addition(prefix: str, stored: StoredMessage) -> Command:
    """The command that puts a stream entry that could not be read back on its stage's queue, unchanged."""
    queue = queue_name(prefix, BY_STAGE[stored.stage].reads)
    return ("XADD", queue, "*", *chain.from_iterable(stored.entry))


def return_commands(prefix: str, stored: StoredMessage) -> Sequence[Command]:
    """The commands that put an item that could not be read back into its message set, due at once."""
    if stored.origin is None:
        return ()
    message_set, item_id, raw = stored.origin
    ids, items = message_set_keys(prefix, message_set)
    return (("ZADD", ids, repr(stored.at), item_id), ("HSET", items, item_id, raw))


def _compared(settings: Settings) -> Settings:
    """The settings, with one URL if ledger and queues are on one Redis. A broker that is away counts as another one."""
    try:
        return name_each_server_once(settings, ("redis_url", "broker_url"))
    except RedisError:
        return settings


@contextmanager
def _open_action(settings: Settings, context: MoveContext, tombstones: MessageSet) -> Iterator[BatchAction]:
    """The replay to wherever the queues are."""
    url = settings.broker_url
    if url == settings.redis_url:
        yield Replay(context, tombstones)
        return
    publisher = open_publisher(url, TIMEOUT, prefix=settings.prefix, queues=INNER_QUEUES)
    try:
        add = _runner(url) if engine_of(url) == "streams" else None
        yield CrossServerReplay(context, tombstones, publisher, add)
    finally:
        publisher.close()


def _runner(url: str) -> Callable[[Sequence[Command]], None]:
    """A function that runs Redis commands on the broker."""

    def run_commands(commands: Sequence[Command]) -> None:
        with open_redis(url, "FACEID_BROKER_URL") as redis, redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()

    return run_commands
