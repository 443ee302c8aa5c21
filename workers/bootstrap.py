"""Build the parts of a worker from its settings: the ledger, the stages, and the limits of the alerts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from redis.asyncio import Redis

from shared.accounts import Account
from shared.ledger.ledger import LONGEST_PAUSE_FACTOR, Ledger, Limits
from shared.ledger.message_set import Bounds
from shared.messaging.topology import Stage
from shared.settings import Settings
from workers.decisioning.policy import Policy, PolicyError
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import MAX_RETRY_AFTER
from workers.maintenance.alert_rules import AlertLimits, RateThreshold
from workers.runtime.runner import StageRun
from workers.stages.classify import Classify
from workers.stages.evidence_reader import EvidenceReader, GetResultCall, ReadRules
from workers.stages.publish import Publish
from workers.stages.reconcile import RecheckTimes, Reconcile
from workers.stages.verify import Verify

DAY: Final = 86_400.0
RECHECK_MARGIN: Final = 600.0
"""Seconds that a case with unsigned returns only is kept after its recheck is due."""
PRESSURE_SHARE: Final = 0.9
"""Of FACEID_MAX_MEMORY_SHARE. Above it unverified callbacks are dropped, before the ingress refuses callbacks."""
EVIDENCE_SHARE: Final = 0.95
"""Of FACEID_MAX_MEMORY_SHARE. Above it the evidence of published cases is dropped too."""


def make_ledger(settings: Settings, redis: "Redis", clock: Callable[[], float]) -> Ledger:
    """Make the ledger on this Redis client. `clock`: Unix seconds."""
    limits = Limits(
        retention=settings.retention_days * DAY,
        breaker_pause=settings.breaker_rest_seconds,
        unsigned_ttl=settings.hint_delay_seconds + RECHECK_MARGIN,
        unsigned_cases=settings.hint_cases_per_minute,
        unsigned_reads=settings.hint_reads_per_minute,
    )
    return Ledger(redis, settings.prefix, limits, clock)


def make_stages(
    settings: Settings,
    names: Sequence[Stage],
    accounts: Mapping[str, Account],
    policies: Mapping[str, Policy],
    ledger: Ledger,
    get_result: GetResultCall,
    clock: Callable[[], float],
) -> dict[Stage, StageRun]:
    """Make the stages `names`. `policies`: by account. `clock`: Unix seconds."""
    secrets = {name: [s.get_secret_value() for s in account.api_secrets] for name, account in accounts.items()}
    rules = ReadRules(settings.getresult_budget, settings.read_spacing_seconds, settings.getresult_timeout_seconds)
    limiters = {name: ConcurrencyLimiter(settings.getresult_concurrency) for name in accounts}
    reader = EvidenceReader(ledger, get_result, rules, limiters, clock)
    recheck_times = RecheckTimes(settings.hint_delay_seconds, settings.token_life_seconds)
    stages: dict[Stage, StageRun] = {
        "verify": Verify(secrets, settings.retention_days * DAY),
        "reconcile": Reconcile(accounts, ledger, reader, recheck_times, clock),
        "classify": Classify(policies, clock),
        "publish": Publish(ledger, settings.prefix),
    }
    return {name: stages[name] for name in names}


def most_calls(settings: Settings, accounts: Mapping[str, Account]) -> int:
    """GetResult calls that one process can have in flight, for all accounts together.

    The HTTP client needs as many connections: waiting for one would count as part of a call.
    """
    return min(settings.prefetch, settings.getresult_concurrency * len(accounts))


def load_policies(accounts: Mapping[str, Account]) -> dict[str, Policy]:
    """The policy of each account. Raises `PolicyError` with all faults, each with its file and account."""
    policies: dict[str, Policy] = {}
    faults: list[str] = []
    for name, account in accounts.items():
        try:
            policies[name] = Policy.load(account.policy)
        except PolicyError as error:
            faults += [f"{account.policy} (account {name}): {fault}" for fault in error.faults]
    if faults:
        raise PolicyError(faults)
    return policies


def alert_limits(settings: Settings) -> AlertLimits:
    """The limits above which the alert monitor raises alerts."""
    return AlertLimits(
        window=settings.alert_window_seconds,
        attacks=RateThreshold(settings.alert_attack_share, settings.alert_attack_min),
        bad_signatures=RateThreshold(settings.alert_bad_signature_share, settings.alert_bad_signature_min),
        dead_letters=settings.alert_dead_letters,
        backlog_age=settings.alert_backlog_seconds,
        memory_share=settings.alert_memory_share,
        retention=settings.retention_days * DAY,
    )


def evidence_bounds(settings: Settings) -> tuple[float, float]:
    """The share of Redis's memory above which evidence is dropped, and the seconds that a case is kept."""
    return settings.max_memory_share * EVIDENCE_SHARE, settings.retention_days * DAY


def longest_delay(settings: Settings) -> float:
    """The longest time in seconds that an item may be delayed. Only a wrong clock asks for more."""
    breaker_pause = settings.breaker_rest_seconds * LONGEST_PAUSE_FACTOR
    recheck = max(settings.hint_delay_seconds, settings.token_life_seconds)
    return max(recheck, breaker_pause, MAX_RETRY_AFTER, *settings.read_spacing_seconds)


def trim_bounds(settings: Settings) -> tuple[Bounds, float, float]:
    """The bounds of the unverified callbacks, the longest age of an item of any message set, and its longest delay."""
    retention = settings.retention_days * DAY
    unverified = Bounds(
        seconds=retention,
        items=settings.unverified_max,
        bytes=settings.unverified_max_bytes,
        memory_share=settings.max_memory_share * PRESSURE_SHARE,
    )
    return unverified, retention, longest_delay(settings)
