"""What is amiss over a window: one rule for each kind of alert that no single case raises. No I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.events.alert import Alert, AlertKind, Detail
from shared.ledger.counters import Counted


@dataclass(frozen=True, slots=True)
class Share:
    """Too many: `least` or more, and at least this `share` of all."""

    share: float
    least: int

    def passed(self, bad: int, total: int) -> bool:
        """Whether so many of so many are too many."""
        return bad >= self.least and bad >= self.share * total


@dataclass(frozen=True, slots=True)
class AlertLimits:
    """Beyond which a person has to know."""

    window: float
    """Seconds that are looked back, and within which the same alert is raised once."""
    attacks: Share
    """Of an account's decisions."""
    bad_signatures: Share
    """Of an account's callbacks."""
    dead_letters: int
    """New ones in the window."""
    backlog_age: float
    """Seconds that a message may wait."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the pipeline looks like at one moment."""

    at: float
    """Unix seconds."""
    counters: Mapping[str, Counter[Counted]]
    """By account."""
    dead: int
    """Dead letters of the window."""
    causes: Counter[str]
    """Why they died, where there are many: `STAGE.REASON`, of the first so many of them."""
    oldest: float | None
    """When the message that has waited longest came, unix seconds."""


def amiss(observation: Observation, limits: AlertLimits) -> Iterator[Alert]:
    """The alerts that the sight gives reason to."""
    for account, counts in observation.counters.items():
        yield from _attacks(observation, limits, account, counts)
        yield from _bad_signatures(observation, limits, account, counts)
    yield from _dead_letters(observation, limits)
    yield from _backlog(observation, limits)


def _attacks(observation: Observation, limits: AlertLimits, account: str, counts: Counter[Counted]) -> Iterator[Alert]:
    attacks, decisions = counts["attacked"], counts["attacked"] + counts["clean"]
    if limits.attacks.passed(attacks, decisions):
        yield Alert.of(
            AlertKind.ATTACK_RATE,
            account,
            observation.at,
            attacks=attacks,
            decisions=decisions,
            limit_share=limits.attacks.share,
            window_seconds=limits.window,
        )


def _bad_signatures(
    observation: Observation, limits: AlertLimits, account: str, counts: Counter[Counted]
) -> Iterator[Alert]:
    bad, callbacks = counts["bad_signature"], counts["bad_signature"] + counts["verified"]
    if limits.bad_signatures.passed(bad, callbacks):
        yield Alert.of(
            AlertKind.BAD_SIGNATURE_RATE,
            account,
            observation.at,
            bad_signatures=bad,
            callbacks=callbacks,
            limit_share=limits.bad_signatures.share,
            window_seconds=limits.window,
        )


def _dead_letters(observation: Observation, limits: AlertLimits) -> Iterator[Alert]:
    if observation.dead > limits.dead_letters:
        causes: dict[str, Detail] = {**observation.causes}
        yield Alert.of(
            AlertKind.DEAD_LETTERS_GROWING,
            None,
            observation.at,
            None,
            **causes,
            dead_letters=observation.dead,
            limit=limits.dead_letters,
            window_seconds=limits.window,
        )


def _backlog(observation: Observation, limits: AlertLimits) -> Iterator[Alert]:
    if observation.oldest is not None and observation.at - observation.oldest > limits.backlog_age:
        yield Alert.of(
            AlertKind.BACKLOG_AGE,
            None,
            observation.at,
            oldest_seconds=round(observation.at - observation.oldest, 1),
            limit_seconds=limits.backlog_age,
        )
