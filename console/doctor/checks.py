"""The checks of `faceid doctor`: from an environment to findings, each with what to do. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from console.doctor.capacity import judge_capacity
from console.doctor.finding import Finding, Level
from console.doctor.getresult import judge
from console.doctor.probe import Probe, Refusal
from console.terminal.time_format import format_duration
from console.unknown_settings import as_hint
from shared.redis_servers.clock_skew import MOST_SKEW
from shared.settings import VENDOR_PORTS
from workers.faceid.getresult_client import Answer

OLDEST: Final = (6, 2)
"""The first Redis version with every command that the pipeline uses."""
SKEW_WARN: Final = 1.0
"""Seconds between this machine's clock and Redis's."""
USED_WARN: Final = 0.75
USED_FAIL: Final = 0.95
"""Share of Redis's memory limit. Above it, callbacks will soon be answered 503."""


@dataclass(frozen=True, slots=True)
class RedisEnvironment:
    """A Redis server, as it describes itself."""

    version: str
    eviction: str
    """`maxmemory-policy`."""
    appends: bool
    """Whether it keeps an append-only file."""
    append_fault: str
    """The state of its last write to that file; empty when it is ok."""
    fsync: str
    """`appendfsync`; empty when Redis forbids CONFIG."""
    used_bytes: int
    limit_bytes: int
    """`maxmemory`; 0 for none."""
    skew_seconds: float
    """Its clock minus the clock of this machine."""
    replicas: int
    """Replicas that are connected to it."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that is checked."""

    redis: RedisEnvironment | str
    """A text says why Redis can't be checked."""
    brokers: dict[str, tuple[Probe, ...]]
    """By setting: the probes of the broker, up to the first that failed."""
    account_faults: tuple[str, ...]
    """Why the accounts and their secrets can't be used."""
    policy_faults: dict[str, tuple[str, ...]]
    """By account."""
    port: int
    unknown_settings: dict[str, str] = field(default_factory=dict)
    """Names that are no settings, each with the nearest setting or nothing."""
    unreconciled: tuple[str, ...] = ()
    """Accounts that are decided without GetResult."""
    max_memory_share: float = 0.9
    """Share of Redis's memory limit that callbacks may take."""
    retention_days: float = 30.0
    """Days for which a case is kept."""
    calls: dict[str, Answer] = field(default_factory=dict)
    """GetResult's answers to an invented biz_id, by account; empty when no call was made."""


def diagnose(environment: Environment) -> list[Finding]:
    """All findings, in a fixed order."""
    return [
        *_redis(environment.redis, environment.max_memory_share, environment.retention_days),
        *(_broker(setting, probe) for setting, probes in environment.brokers.items() for probe in probes),
        *_settings(environment.unknown_settings),
        _secrets(environment.account_faults),
        *(_policy(account, faults) for account, faults in environment.policy_faults.items()),
        *map(_unreconciled, environment.unreconciled),
        *(judge(account, answer) for account, answer in environment.calls.items()),
        _port(environment.port),
    ]


def _redis(redis: RedisEnvironment | str, max_share: float, retention_days: float) -> Iterator[Finding]:
    if isinstance(redis, str):
        yield Finding("redis", "fail", redis, "Start Redis, or fix FACEID_REDIS_URL.")
        return
    yield Finding("redis", "ok", "reachable")
    yield _version(redis.version)
    yield _eviction(redis.eviction)
    yield _append_only(redis)
    yield _memory(redis)
    yield judge_capacity(redis.used_bytes, redis.limit_bytes, max_share, retention_days)
    yield _replicas(redis.replicas)
    yield _clock(redis.skew_seconds)


def _version(version: str) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return Finding("version", "fail", version, "Use Redis 6.2 or later, or Valkey.")
    return Finding("version", "ok", version)


def _eviction(policy: str) -> Finding:
    if policy != "noeviction":
        hint = "Set maxmemory-policy noeviction: with any other policy Redis may delete callbacks."
        return Finding("eviction", "fail", policy, hint)
    return Finding("eviction", "ok", policy)


def _append_only(redis: RedisEnvironment) -> Finding:
    name = "append-only"
    if not redis.appends:
        return Finding(
            name, "fail", "off", "Set appendonly yes: a restart would lose callbacks that were answered 200."
        )
    if redis.append_fault:
        return Finding(
            name,
            "fail",
            f"the last write failed ({redis.append_fault})",
            "Check the disk of Redis: space and permissions.",
        )
    if redis.fsync == "always":
        return Finding(name, "ok", "on, fsync always")
    if redis.fsync == "":
        return Finding(name, "warn", "on; Redis hides appendfsync", "Make sure that appendfsync is always.")
    hint = "Set appendfsync always: a power cut would lose callbacks that were answered 200."
    return Finding(name, "fail" if redis.fsync == "no" else "warn", f"on, fsync {redis.fsync}", hint)


def _memory(redis: RedisEnvironment) -> Finding:
    used = f"{redis.used_bytes / 1e6:,.0f} MB"
    if not redis.limit_bytes:
        hint = "Set maxmemory below the machine's memory. Without it the system kills Redis when memory runs out."
        return Finding("memory", "warn", f"{used} used, no limit", hint)
    share = redis.used_bytes / redis.limit_bytes
    level: Level = "fail" if share >= USED_FAIL else "warn" if share >= USED_WARN else "ok"
    hint = "" if level == "ok" else "Raise maxmemory, start more workers, or drop old dead letters."
    return Finding("memory", level, f"{used} used, {share:.0%} of the limit", hint)


def _replicas(count: int) -> Finding:
    if count:
        return Finding("replicas", "ok", f"{count} connected")
    hint = "Add a replica on another machine: when this server is lost, every callback and case on it is lost."
    return Finding("replicas", "warn", "none", hint)


def _settings(unknown: dict[str, str]) -> Iterator[Finding]:
    for name, nearest in unknown.items():
        yield Finding("settings", "warn", f"there is no setting {name}", as_hint(nearest))
    if not unknown:
        yield Finding("settings", "ok", "every name is known")


def _unreconciled(account: str) -> Finding:
    hint = "Set reconcile to always. With never, GetResult is not asked, and whoever knows an API secret can approve."
    return Finding(f"reconcile of {account}", "warn", "never", hint)


def _clock(skew: float) -> Finding:
    distance = abs(skew)
    level: Level = "fail" if distance >= MOST_SKEW else "warn" if distance >= SKEW_WARN else "ok"
    way = "ahead of" if skew > 0 else "behind"
    found = f"Redis is {format_duration(distance)} {way} this machine" if level != "ok" else "same time as Redis"
    return Finding("clock", level, found, "" if level == "ok" else "Synchronise both clocks with NTP.")


def _broker(setting: str, probe: Probe) -> Finding:
    broker = setting.removeprefix("FACEID_").removesuffix("_URL").lower()
    name = f"{broker} {probe.what}".strip()
    if isinstance(probe.result, Refusal):
        return Finding(name, probe.result.level, probe.result.found, probe.result.hint)
    return Finding(name, "ok", probe.result)


def _secrets(faults: tuple[str, ...]) -> Finding:
    if faults:
        return Finding("secrets", "fail", "; ".join(faults), "Set these: without them no worker starts.")
    return Finding("secrets", "ok", "present")


def _policy(account: str, faults: tuple[str, ...]) -> Finding:
    name = f"policy of {account}"
    if faults:
        return Finding(name, "fail", "; ".join(faults), f"faceid policy check --account {account}")
    return Finding(name, "ok", "valid")


def _port(port: int) -> Finding:
    if port in VENDOR_PORTS:
        return Finding("port", "ok", f"{port}, one of FaceID's five callback ports")
    ports = ", ".join(map(str, VENDOR_PORTS))
    hint = f"FaceID calls back only to ports {ports}: listen on one of them, or put a proxy on one in front."
    return Finding("port", "warn", f"{port}", hint)
