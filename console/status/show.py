"""What `faceid status` does."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from rich.console import Group
from rich.live import Live

from console.doctor.probe import refusal
from console.status.kombu import KombuStats
from console.status.redis_streams import RedisStreamsStats
from console.status.rendering import as_record, view
from console.status.snapshot import QueueStats, Status, read_status
from console.terminal.errors import CommandError, UsageError
from console.terminal.output import as_json, out, plain, tabulate, tell
from console.terminal.redis_connection import BROKER_OPTIONS, open_redis
from shared.brokers.factory import open_connection
from shared.messaging.engine import engine_of
from shared.settings import Settings, account_names, load_settings

INTERVAL: Final = 2.0


def tell_status(*, watch: bool, json: bool) -> None:
    """Print the status, with `watch` again and again until Ctrl-C."""
    settings = load_settings()
    try:
        if not watch:
            _tell(settings, json=json)
        elif json:
            _repeat(settings)
        else:
            _watch(settings)
    except KeyboardInterrupt:
        return


def _tell(settings: Settings, *, json: bool) -> None:
    status = _status(settings)
    if json:
        as_json(as_record(status, settings.prefix))
    else:
        table, lines = view(status, settings.prefix, settings.lease_seconds)
        tabulate(table)
        for line in lines:
            tell(line)


def _repeat(settings: Settings) -> None:
    while True:
        _tell(settings, json=True)
        time.sleep(INTERVAL)


def _watch(settings: Settings) -> None:
    """A screen that stays; while Redis is away it says so, and goes on when it is back."""
    with Live(console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while True:
            try:
                table, lines = view(_status(settings), settings.prefix, settings.lease_seconds)
                live.update(Group(table, *lines), refresh=True)
            except CommandError as trouble:
                live.update(plain(trouble.headline, "bold red"), refresh=True)
            time.sleep(INTERVAL)


def _status(settings: Settings) -> Status:
    with ExitStack() as stack:
        ledger = stack.enter_context(open_redis(settings.redis_url))
        ledger.ping()  # before the others: it may be the same server, and is to be named by its own setting
        broker = stack.enter_context(open_queue_stats(settings.broker_url, "FACEID_BROKER_URL"))
        results = stack.enter_context(open_queue_stats(settings.results_url, "FACEID_RESULTS_URL"))
        return read_status(ledger, broker, results, settings, sorted(account_names(settings)))


@contextmanager
def open_queue_stats(url: str, setting: str) -> Iterator[QueueStats]:
    """The gauge for the broker of a URL; raises `CommandError` when it can't be reached or refuses."""
    engine = engine_of(url)
    if engine == "streams":
        with open_redis(url, setting) as redis:
            yield RedisStreamsStats(redis)
        return
    try:
        connection = open_connection(url, **BROKER_OPTIONS)
    except (ImportError, KeyError):
        raise UsageError(
            f"kombu has no transport for {setting} here.", "Write redis://..., amqp://..., or install it."
        ) from None
    try:
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
        yield KombuStats(connection, counts_consumers=engine == "rabbit")
    except (*connection.connection_errors, *connection.channel_errors) as error:
        why = refusal(error, setting)
        raise CommandError(f"The broker of {setting}: {why.found}.", why.hint) from error
    finally:
        connection.release()
