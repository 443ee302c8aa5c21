"""Which fault is injected where and when: derived from the seed alone. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from random import Random
from typing import Final, Literal

Target = Literal[
    "worker",
    "ingress",
    "redis",
    "network",
    "rabbitmq",
    "rabbitmq-network",
    "items",
    "refusals",
    "vendor",
    "callbacks",
    "results",
    "attackers",
    "everything",
]
Engine = Literal["redis", "rabbitmq"]
"""What carries the queues."""
EffectOnReads = Literal["none", "lost", "slow", "failed"]
"""On GetResult: none, answers are lost, some calls time out, or all calls fail."""

PACE: Final = 15.0
"""Sessions a second."""
SHORTEST: Final = 10.0
"""Seconds that a round lasts at least."""
FIRST: Final = 2.0
"""Seconds before the first injected fault."""
ALONE: Final = 5.0
"""Seconds without a fault after one that is injected alone."""
REST: Final = (3.0, 12.0)
"""Seconds between two faults at the same target, at least and at most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What can go wrong, and how many seconds it lasts, at least and at most."""

    target: Target
    meaning: str
    least: float = 0.0
    most: float = 0.0
    rest: float = 0.0
    """Seconds that the target needs to come up again before its next fault."""
    engine: Engine | None = None
    """The one that has to carry the queues for it; None for either."""
    reads: EffectOnReads = "none"


FAULTS: Final[Mapping[str, Fault]] = {
    "kill-worker": Fault("worker", "kill -9, and a start by the supervisor after that time", 0.2, 2.0, reads="lost"),
    "restart-worker": Fault("worker", "SIGTERM, and a start when it has ended", rest=10.0),
    "stop-worker": Fault("worker", "SIGSTOP for longer than its lease, then SIGCONT", 2.5, 5.0, reads="slow"),
    "step-clock": Fault("worker", "its wall clock jumps by up to 10 s, ahead or back, and returns", 1.0, 4.0),
    "wrong-clock": Fault("worker", "its wall clock is 31 days ahead or a day back, and then right", 3.0, 8.0),
    "wrong-ingress-clock": Fault("ingress", "its wall clock is 31 days ahead or a day back, and then right", 3.0, 8.0),
    "full-log": Fault("worker", "its log can't be written, as on a full disk", 1.0, 4.0),
    "kill-ingress": Fault("ingress", "kill -9, and a start by the supervisor after that time", 0.2, 2.0),
    "restart-ingress": Fault("ingress", "SIGTERM, and a start when it has ended", rest=10.0),
    "stop-ingress": Fault("ingress", "SIGSTOP, then SIGCONT", 0.5, 3.0),
    "kill-redis": Fault("redis", "kill -9, and a start after that time", 0.2, 2.0, reads="lost"),
    "pause-redis": Fault("redis", "SIGSTOP, then SIGCONT", 0.5, 4.0, reads="lost"),
    "fill-redis": Fault("redis", "maxmemory is reached: writes that need memory are refused", 0.5, 4.0, reads="lost"),
    "fail-over-redis": Fault(
        "redis",
        "a replica becomes the primary behind one address; the old one keeps its connections",
        reads="lost",
    ),
    "destroy-group": Fault("redis", "the consumer group of every queue is destroyed", engine="redis"),
    "cut-connections": Fault(
        "network", "every connection to Redis is cut, five times a second", 1.0, 3.0, reads="lost"
    ),
    "lose-replies": Fault(
        "network", "Redis does what it is told, and the answer is lost, ten times a second", 1.0, 3.0, reads="lost"
    ),
    "slow-network": Fault("network", "every packet to and from Redis takes 1 to 200 ms", 2.0, 5.0, reads="lost"),
    "kill-rabbitmq": Fault("rabbitmq", "kill -9, and a start after that time", 0.2, 2.0, 15.0, "rabbitmq"),
    "pause-rabbitmq": Fault("rabbitmq", "SIGSTOP, then SIGCONT", 0.5, 4.0, 2.0, "rabbitmq"),
    "fill-rabbitmq": Fault("rabbitmq", "the memory alarm: nothing is taken in", 1.0, 4.0, 6.0, "rabbitmq"),
    "cut-rabbitmq": Fault(
        "rabbitmq-network", "every connection to RabbitMQ is cut, five times a second", 1.0, 3.0, 2.0, "rabbitmq"
    ),
    "lose-rabbitmq-replies": Fault(
        "rabbitmq-network",
        "RabbitMQ's next answer is lost with its connection, ten times a second",
        1.0,
        3.0,
        2.0,
        "rabbitmq",
    ),
    "slow-rabbitmq": Fault(
        "rabbitmq-network", "every packet to and from RabbitMQ takes 1 to 200 ms", 2.0, 5.0, 2.0, "rabbitmq"
    ),
    "bad-stored-message": Fault("items", "items that can't be read are in delayed and in the outbox", 1.0, 4.0),
    "refused-settlement": Fault("refusals", "callbacks come whose case is a key of a wrong type", 1.0, 4.0),
    "slow-result": Fault(
        "vendor", "GetResult takes longer than workers wait, or nearly as long", 1.0, 4.0, reads="slow"
    ),
    "failing-result": Fault("vendor", "GetResult answers INTERNAL_ERROR", 1.0, 4.0, reads="failed"),
    "hanging-result": Fault("vendor", "GetResult never answers", 1.0, 4.0, reads="failed"),
    "broken-result": Fault("vendor", "GetResult's answer is cut off in the middle", 1.0, 4.0, reads="failed"),
    "busy-result": Fault("vendor", "GetResult answers CONCURRENCY_LIMIT_EXCEEDED", 1.0, 4.0),
    "lost-callbacks": Fault("callbacks", "the notify or the return never comes"),
    "doubled-callbacks": Fault("callbacks", "the notify and the return come three times"),
    "reordered-callbacks": Fault("callbacks", "the return comes before the notify, or long after it"),
    "contradicting-callbacks": Fault("callbacks", "a second signed notify contradicts the first one"),
    "results-away": Fault(
        "results", "the results have a broker of their own: kill -9, and a start after that time", 1, 4
    ),
    "flood": Fault("attackers", "large anonymous posts, returns with long queries, and silent connections", 2.0, 5.0),
    "crash-all": Fault(
        "everything", "kill -9 of all processes and brokers at once, then all start again", 0.2, 2.0, 10.0, None, "lost"
    ),
}
"""Every fault there is, by name."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault to inject at one target, `at` seconds after the first session, for `seconds`."""

    at: float
    fault: str
    target: str
    """`worker-2`, `redis`, ...; a target has one fault at a time."""
    seconds: float
    strength: float
    """From 0 to 1: the share of the longest delay, or the size and direction of a clock step."""


@dataclass(frozen=True, slots=True)
class Round:
    """Sessions and the faults injected meanwhile, with processes of its own."""

    name: str
    faults: tuple[str, ...]
    injections: tuple[Injection, ...]
    sessions: int
    pace: float
    """Sessions a second."""
    engine: Engine = "redis"

    @property
    def results_apart(self) -> bool:
        """Whether the results have a broker of their own."""
        return "results-away" in self.faults


def rounds(words: str, sessions: int, seed: int, workers: int, engine: Engine = "redis") -> list[Round]:
    """The rounds that `words` ask for: `all` mixed, `each` alone one after the other, or those of a comma list mixed.

    `results-away` needs a broker for the results alone. It comes in a second round with a fifth of the sessions: that
    round promises a result at least once, the first round exactly once. Raises ValueError for an unknown fault, and
    for a mix that is not possible.
    """
    chosen = _chosen(words, engine)
    alone = words == "each"
    make = partial(_round, workers=workers, alone=alone, engine=engine)
    here = tuple(fault for fault in chosen if fault != "results-away")
    if here == chosen or not here:
        return [make(words, chosen, sessions, seed)]
    apart = ("results-away",) if alone else chosen
    fifth = max(1, sessions // 5)
    return [make(words, here, sessions - fifth, seed), make(f"{words}, results apart", apart, fifth, seed + 1)]


def _chosen(words: str, engine: Engine) -> tuple[str, ...]:
    known = [name for name, fault in FAULTS.items() if fault.engine in (None, engine)]
    if words in {"all", "each"}:
        return tuple(name for name in known if name != "crash-all")
    names = tuple(word.strip() for word in words.split(","))
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no fault {', '.join(unknown)} on {engine}; there are all, each, {', '.join(known)}")
    if "crash-all" in names and len(names) > 1:
        raise ValueError("crash-all can't be mixed: it has the targets of all others")
    return names


def _round(
    name: str, faults: tuple[str, ...], sessions: int, seed: int, *, workers: int, alone: bool, engine: Engine
) -> Round:
    dice = Random(seed)
    seconds = max(sessions / PACE, SHORTEST)
    if alone:
        injections, ends = _one_after_another(dice, faults, seconds, workers)
        return Round(name, faults, injections, sessions, sessions / ends, engine)
    mixed = sorted(_mixed(dice, faults, seconds, workers), key=lambda injection: injection.at)
    return Round(name, faults, tuple(mixed), sessions, sessions / seconds, engine)


def _mixed(dice: Random, faults: Sequence[str], seconds: float, workers: int) -> Iterator[Injection]:
    """Every target has a timeline of its own, so that faults of different targets overlap."""
    for kind in dict.fromkeys(FAULTS[fault].target for fault in faults):
        for target in _targets(kind, workers):
            names = _shuffled(dice, [fault for fault in faults if FAULTS[fault].target == kind])
            at = FIRST + dice.uniform(0, min(REST[1], seconds / 2))
            while (injection := _injection(dice, next(names), target, at)).at + injection.seconds < seconds:
                yield injection
                at += injection.seconds + FAULTS[injection.fault].rest + dice.uniform(*REST)


def _one_after_another(
    dice: Random, faults: Sequence[str], seconds: float, workers: int
) -> tuple[tuple[Injection, ...], float]:
    """Each fault once at least, and again while there is time; also when the last one is over."""
    injections: list[Injection] = []
    at = FIRST
    injected = [fault for fault in faults if FAULTS[fault].target != "callbacks"]
    while at < seconds or not injections:
        for fault in injected:
            target = dice.choice(_targets(FAULTS[fault].target, workers))
            injections.append(_injection(dice, fault, target, at))
            at += injections[-1].seconds + ALONE
    return tuple(injections), at


def _injection(dice: Random, fault: str, target: str, at: float) -> Injection:
    kind = FAULTS[fault]
    seconds = dice.uniform(kind.least, kind.most)
    return Injection(round(at, 2), fault, target, round(seconds, 2), round(dice.random(), 2))


def _shuffled(dice: Random, faults: Sequence[str]) -> Iterator[str]:
    """The faults in turn for ever, in random order: a short round has as many different ones as possible."""
    return cycle(dice.sample(faults, len(faults)))


def _targets(kind: Target, workers: int) -> Sequence[str]:
    if kind == "worker":
        return [f"worker-{number}" for number in range(1, workers + 1)]
    return [] if kind == "callbacks" else [kind]
