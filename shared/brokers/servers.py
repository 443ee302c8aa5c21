"""The Redis servers that the settings name: whether they can be used, and which of them are the same.

A message is settled, its results are published and the ledger is written in one step where all three are on one Redis.
So it matters whether two URLs name the same server, and not whether they are spelt alike.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

from shared.messaging.engine import engine_of
from shared.redis_servers.address import is_sentinel
from shared.redis_servers.identity import ServerId, UnsuitableServer, identify
from shared.settings import ENV_PREFIX, Settings, SettingsError

NAMES: Final = ("redis_url", "broker_url", "results_url")
PAUSE: Final = 1.0
"""Seconds between two attempts to reach the servers."""

log = structlog.get_logger()


def check_server(settings: Settings, name: str) -> None:
    """Refuse a Redis that can't be used; `name`: the setting. One that can't be reached now passes.

    Raises `SettingsError`.
    """
    try:
        _identify(settings, name)
    except RedisError:
        return


def name_each_server_once(settings: Settings, names: Sequence[str] = NAMES) -> Settings:
    """The same settings with one URL for each Redis: of several URLs for one server, one that asks Sentinels first.

    `names`: the settings to compare. Where a server forbids INFO, URLs are compared as texts.

    Raises `SettingsError` for a Redis that can't be used, and
    `redis.RedisError` when one can't be reached.
    """
    named = [name for name in names if engine_of(getattr(settings, name)) == "streams"]
    if len({getattr(settings, name) for name in named}) <= 1:
        return settings
    named.sort(key=lambda name: not is_sentinel(getattr(settings, name)))
    first: dict[ServerId | str, str] = {}
    same = {}
    for name in named:
        url = getattr(settings, name)
        same[name] = first.setdefault(_identify(settings, name) or url, url)
    return settings.model_copy(update=same)


def wait_for_servers(settings: Settings, sleep: Callable[[float], None] = time.sleep) -> Settings:
    """The same, tried until all servers can be reached. A single URL is not waited for. Raises `SettingsError`."""
    check_server(settings, "redis_url")
    failures = 0
    while True:
        try:
            return name_each_server_once(settings)
        except RedisError as error:
            if not failures:
                log.error("broker.unavailable", error=type(error).__name__, in_flight=0)
            failures += 1
            sleep(PAUSE)


def _identify(settings: Settings, name: str) -> ServerId | None:
    url = getattr(settings, name)
    if engine_of(url) != "streams":
        return None
    try:
        return identify(url)
    except UnsuitableServer as error:
        raise SettingsError([f"{ENV_PREFIX}{name.upper()}: {error}"]) from None
