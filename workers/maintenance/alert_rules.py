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
class WatchLimits:
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
class Sight:
    """What the pipeline looks like at one moment."""

    at: float
    """Unix seconds."""
    tallies: Mapping[str, Counter[Counted]]
    """By account."""
    dead: int
    """Dead letters of the window."""
    causes: Counter[str]
    """Why they died, where there are many: `STAGE.REASON`, of the first so many of them."""
    oldest: float | None
    """When the message that has waited longest came, unix seconds."""


def amiss(sight: Sight, limits: WatchLimits) -> Iterator[Alert]:
    """The alerts that the sight gives reason to."""
    for account, tally in sight.tallies.items():
        yield from _attacks(sight, limits, account, tally)
        yield from _bad_signatures(sight, limits, account, tally)
    yield from _dead_letters(sight, limits)
    yield from _backlog(sight, limits)


def _attacks(sight: Sight, limits: WatchLimits, account: str, tally: Counter[Counted]) -> Iterator[Alert]:
    attacks, decisions = tally["attacked"], tally["attacked"] + tally["clean"]
    if limits.attacks.passed(attacks, decisions):
        yield Alert.of(
            AlertKind.ATTACK_RATE,
            account,
            sight.at,
            attacks=attacks,
            decisions=decisions,
            limit_share=limits.attacks.share,
            window_seconds=limits.window,
        )


def _bad_signatures(sight: Sight, limits: WatchLimits, account: str, tally: Counter[Counted]) -> Iterator[Alert]:
    bad, callbacks = tally["bad_signature"], tally["bad_signature"] + tally["verified"]
    if limits.bad_signatures.passed(bad, callbacks):
        yield Alert.of(
            AlertKind.BAD_SIGNATURE_RATE,
            account,
            sight.at,
            bad_signatures=bad,
            callbacks=callbacks,
            limit_share=limits.bad_signatures.share,
            window_seconds=limits.window,
        )


def _dead_letters(sight: Sight, limits: WatchLimits) -> Iterator[Alert]:
    if sight.dead > limits.dead_letters:
        causes: dict[str, Detail] = {**sight.causes}
        yield Alert.of(
            AlertKind.DEAD_LETTERS_GROWING,
            None,
            sight.at,
            None,
            **causes,
            dead_letters=sight.dead,
            limit=limits.dead_letters,
            window_seconds=limits.window,
        )


def _backlog(sight: Sight, limits: WatchLimits) -> Iterator[Alert]:
    if sight.oldest is not None and sight.at - sight.oldest > limits.backlog_age:
        yield Alert.of(
            AlertKind.BACKLOG_AGE,
            None,
            sight.at,
            oldest_seconds=round(sight.at - sight.oldest, 1),
            limit_seconds=limits.backlog_age,
        )
