"""The alert rules over a window of time: one for each kind of alert that is not about a single case. No I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from shared.events.alert import Alert, AlertKind, Detail
from shared.ledger.counters import Counted
from shared.messaging.memory import UNLIMITED, Memory
from shared.redis_servers.clock_skew import MOST_SKEW

EXPIRING_SHARE: Final = 0.8
"""Share of the retention after which a dead letter is about to be deleted: 24 of 30 days."""


@dataclass(frozen=True, slots=True)
class RateThreshold:
    """A rate is too high when there are `minimum` events or more, and they are at least `share` of all."""

    share: float
    """0 to 1."""
    minimum: int

    def reached(self, count: int, total: int) -> bool:
        """Whether `count` of `total` is too high a rate."""
        return count >= self.minimum and count >= self.share * total


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """Limits above which alerts are raised. They come from the settings FACEID_ALERT_..."""

    window: float
    """Seconds that the rules look back. The same alert is raised at most once in this time."""
    attacks: RateThreshold
    """Decisions that name an attack, of all decisions of an account."""
    bad_signatures: RateThreshold
    """Callbacks with an invalid signature, of all callbacks of an account."""
    dead_letters: int
    """Most new dead letters in the window."""
    backlog_age: float
    """Most seconds that a message may wait in a queue."""
    memory_share: float
    """Share of its memory limit, 0 to 1, that the ledger's Redis may use."""
    retention: float = 2_592_000.0
    """Seconds that a dead letter is kept."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured for the rules at one moment."""

    at: float
    """Unix seconds."""
    counters: Mapping[str, Counter[Counted]]
    """Counts of the window, by account."""
    dead_letters: int
    """New dead letters in the window."""
    causes: Counter[str]
    """Number of dead letters by `STAGE.REASON`. Empty when there are few; of the first 1,000 when there are many."""
    refused: int
    """Settlements in the window that were refused."""
    oldest_at: float | None
    """When the oldest message in the queues was published, in Unix seconds. None: the queues are empty."""
    memory: Memory = UNLIMITED
    """Of the ledger's Redis."""
    oldest_dead_at: float = inf
    """When the oldest dead letter was stored, in Unix seconds. Infinity: there is none."""
    skews: Mapping[str, float] = field(default_factory=dict)
    """By worker, Redis's clock minus that of the worker's machine, in seconds."""


def alerts_for(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    """The alerts whose rules fire."""
    for account, counts in measured.counters.items():
        yield from _attacks(measured, limits, account, counts)
        yield from _bad_signatures(measured, limits, account, counts)
    yield from _refused(measured, limits)
    yield from _dead_letters(measured, limits)
    yield from _expiring(measured, limits)
    yield from _backlog(measured, limits)
    yield from _memory(measured, limits)
    yield from _clocks(measured)


def _attacks(measured: Measurements, limits: AlertLimits, account: str, counts: Counter[Counted]) -> Iterator[Alert]:
    attacks, decisions = counts["attacked"], counts["attacked"] + counts["clean"]
    if limits.attacks.reached(attacks, decisions):
        yield Alert.of(
            AlertKind.ATTACK_RATE,
            account,
            measured.at,
            attacks=attacks,
            decisions=decisions,
            limit_share=limits.attacks.share,
            window_seconds=limits.window,
        )


def _bad_signatures(
    measured: Measurements, limits: AlertLimits, account: str, counts: Counter[Counted]
) -> Iterator[Alert]:
    bad, callbacks = counts["bad_signature"], counts["bad_signature"] + counts["verified"]
    if limits.bad_signatures.reached(bad, callbacks):
        yield Alert.of(
            AlertKind.BAD_SIGNATURE_RATE,
            account,
            measured.at,
            bad_signatures=bad,
            callbacks=callbacks,
            limit_share=limits.bad_signatures.share,
            window_seconds=limits.window,
        )


def _refused(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    if measured.refused:
        yield Alert.of(
            AlertKind.SETTLEMENT_REFUSED,
            None,
            measured.at,
            refused=measured.refused,
            window_seconds=limits.window,
        )


def _dead_letters(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    if measured.dead_letters > limits.dead_letters:
        causes: dict[str, Detail] = {**measured.causes}
        yield Alert.of(
            AlertKind.DEAD_LETTERS_GROWING,
            None,
            measured.at,
            None,
            **causes,
            dead_letters=measured.dead_letters,
            limit=limits.dead_letters,
            window_seconds=limits.window,
        )


def _expiring(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    age = measured.at - measured.oldest_dead_at
    if age > EXPIRING_SHARE * limits.retention:
        yield Alert.of(
            AlertKind.DEAD_LETTERS_EXPIRING,
            None,
            measured.at,
            oldest_days=round(age / 86_400, 1),
            retention_days=limits.retention / 86_400,
        )


def _backlog(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    if measured.oldest_at is not None and measured.at - measured.oldest_at > limits.backlog_age:
        yield Alert.of(
            AlertKind.BACKLOG_AGE,
            None,
            measured.at,
            oldest_seconds=round(measured.at - measured.oldest_at, 1),
            limit_seconds=limits.backlog_age,
        )


def _memory(measured: Measurements, limits: AlertLimits) -> Iterator[Alert]:
    memory = measured.memory
    if memory.share > limits.memory_share:
        yield Alert.of(
            AlertKind.MEMORY,
            None,
            measured.at,
            used_bytes=memory.used,
            maxmemory_bytes=memory.limit,
            used_share=round(memory.share, 3),
            limit_share=limits.memory_share,
        )


def _clocks(measured: Measurements) -> Iterator[Alert]:
    wrong = {worker: skew for worker, skew in measured.skews.items() if abs(skew) > MOST_SKEW}
    if wrong:
        worst = max(wrong, key=lambda worker: abs(wrong[worker]))
        yield Alert.of(
            AlertKind.CLOCK_SKEW,
            None,
            measured.at,
            worker=worst,
            skew_seconds=round(wrong[worst], 1),
            skewed_workers=len(wrong),
            workers=len(measured.skews),
            limit_seconds=MOST_SKEW,
        )
