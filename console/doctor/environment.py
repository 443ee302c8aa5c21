"""Gather what `faceid doctor` checks, from the settings and the servers."""

import time
from collections.abc import Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from console.doctor.checks import Environment, RedisEnvironment
from console.doctor.cluster_reader import probe_members
from console.doctor.getresult import call_all
from console.doctor.probe import Probe, Refusal, explain_error
from console.doctor.rabbitmq import probe_rabbit
from console.terminal.errors import UsageError
from console.terminal.redis_connection import error_code, new_client
from console.unknown_settings import unknown_settings
from shared.accounts import account_names, load_accounts
from shared.brokers.factory import open_connection
from shared.messaging.engine import engine_of
from shared.messaging.topology import INNER_QUEUES, RESULT_QUEUES
from shared.redis_servers.identity import UnsuitableServer, identify
from shared.server_urls import addresses_of
from shared.settings import Settings, SettingsError
from workers.decisioning.policy import Policy, PolicyError

REACH_SECONDS: Final = 3.0
"""Time-out of each server."""


def gather(settings: Settings, *, accounts: bool = True, call: bool = False, members: bool = False) -> Environment:
    """Ask every server. Never raises for one that can't be reached. Without `accounts` no secret is read.

    `call`: also call GetResult for each account. `members`: also ask RabbitMQ which nodes hold the queues, which takes
    seconds.
    """
    account_faults, policy_faults = _accounts(settings) if accounts else ((), {})
    known = load_accounts(settings) if accounts and not account_faults else {}
    reconciled = {name: account for name, account in known.items() if account.reconcile == "always"}
    return Environment(
        redis=_redis(settings.redis_url),
        brokers={
            setting: (
                *_probes(url, setting, settings.prefix, queues),
                *(probe_members(url, settings.prefix, queues, REACH_SECONDS) if members else ()),
            )
            for setting, url, queues in (
                ("FACEID_BROKER_URL", settings.broker_url, INNER_QUEUES),
                ("FACEID_RESULTS_URL", settings.results_url, RESULT_QUEUES),
            )
        },
        account_faults=account_faults,
        policy_faults=policy_faults,
        port=settings.port,
        unknown_settings=unknown_settings(),
        max_memory_share=settings.max_memory_share,
        retention_days=settings.retention_days,
        unreconciled=tuple(name for name in known if name not in reconciled),
        calls=call_all(reconciled, settings.getresult_timeout_seconds) if call else {},
    )


def _redis(url: str) -> RedisEnvironment | str:
    try:
        identify(url)
        with new_client(url, "FACEID_REDIS_URL") as redis:
            skew = _skew(redis)
            info: dict[str, Any] = redis.info()
            fsync = _fsync(redis)
    except UnsuitableServer as error:
        return f"it {error}"
    except UsageError as error:
        return error.headline
    except ResponseError as error:
        return f"Redis refused a command ({error_code(error)})"
    except RedisError as error:
        return str(error)
    return RedisEnvironment(
        version=str(info["redis_version"]),
        eviction=str(info["maxmemory_policy"]),
        appends=bool(info["aof_enabled"]),
        append_fault="" if info["aof_last_write_status"] == "ok" else str(info["aof_last_write_status"]),
        fsync=fsync,
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info["maxmemory"]),
        skew_seconds=skew,
        replicas=int(info.get("connected_slaves", 0)),
    )


def _skew(redis: Redis) -> float:
    """Its clock minus ours, in seconds. Ours is taken in the middle of the call."""
    redis.ping()  # connect before the clock is read
    before = time.time()
    seconds, microseconds = redis.time()
    return seconds + microseconds / 1e6 - (before + time.time()) / 2


def _fsync(redis: Redis) -> str:
    try:
        return str(redis.config_get("appendfsync").get("appendfsync", ""))
    except ResponseError:  # managed servers often forbid CONFIG
        return ""


def _probes(url: str, setting: str, prefix: str, queues: Sequence[str]) -> tuple[Probe, ...]:
    if engine_of(url) == "rabbit":
        return tuple(
            Probe(f"{address}{probe.what}".strip(), probe.result)
            for address, single in _numbered(addresses_of(url))
            for probe in probe_rabbit(single, setting, prefix, queues, REACH_SECONDS)
        )
    options = {"socket_timeout": REACH_SECONDS, "socket_connect_timeout": REACH_SECONDS}
    try:
        with open_connection(url, **options) as connection:
            connection.ensure_connection(max_retries=1, timeout=REACH_SECONDS)
        if engine_of(url) == "streams":
            identify(url)
    except UnsuitableServer as error:
        return (Probe("", Refusal(f"it {error}", f"Fix {setting}.")),)
    except Exception as error:  # each broker's client has its own errors; their texts may quote the URL
        return (Probe("", explain_error(error, setting)),)
    return (Probe("", "reachable"),)


def _numbered(addresses: Sequence[str]) -> list[tuple[str, str]]:
    """Each address with a name for it: empty for a single one, since a URL may hold a password."""
    if len(addresses) == 1:
        return [("", addresses[0])]
    return [(f"address {number} ", address) for number, address in enumerate(addresses, 1)]


def _accounts(settings: Settings) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    try:
        accounts = load_accounts(settings)
    except SettingsError as error:
        names = account_names(settings) if settings.accounts is None else ()
        return tuple(error.faults), {name: _policy(settings.policy) for name in names}
    return (), {name: _policy(account.policy) for name, account in accounts.items()}


def _policy(path: Any) -> tuple[str, ...]:
    try:
        Policy.load(path)
    except PolicyError as error:
        return tuple(f"{path}: {fault}" for fault in error.faults)
    return ()
