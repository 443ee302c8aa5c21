"""`python -m tests.fuzz.verifier`: passes hostile bodies to the verifier and the classifier, and counts the results."""

import argparse
import json
import time
from collections import Counter
from typing import Any, Final

from shared.events.decision import Outcome
from tests.support.hostile_bodies import KINDS, SECRET, Attacker, Hostile
from tests.support.payloads import posted
from workers.decisioning.classifier import classify
from workers.decisioning.evidence import Evidence
from workers.decisioning.policy import Policy
from workers.faceid.payload import Payload
from workers.faceid.verification import Unverified, verify

POLICY: Final = Policy.load()
SLOW: Final = 1.0
"""Seconds of CPU time that no body may take."""


class Broken(AssertionError):
    """The body of this seed and number has broken a promise."""


def outcome(hostile: Hostile) -> str:
    """The verifier's result: `verified`, or the reason why not. Raises `Broken`.

    Other exceptions of the verifier or the classifier are not caught.
    """
    try:
        verified = verify(posted(hostile.body, hostile.content_type), [SECRET])
    except Unverified as fault:
        if hostile.due == "verified":
            raise Broken(f"{hostile.number}: a genuine callback was refused: {fault}") from None
        return fault.reason
    if verified.callback is None or verified.data.encode() not in hostile.signed:
        raise Broken(f"{hostile.number}: a forgery was taken for signed ({hostile.kind})")
    if hostile.due == "refused":
        raise Broken(f"{hostile.number}: it must be refused ({hostile.kind})")
    _is_strict(hostile, verified.data)
    _judge(verified.callback)
    return "verified"


def _is_strict(hostile: Hostile, text: str) -> None:
    """By the standard library's parser: one document, no key twice, every number finite."""
    try:
        json.loads(text, object_pairs_hook=_single, parse_constant=_no_constant)
    except ValueError as error:
        raise Broken(f"{hostile.number}: what was parsed is no strict JSON: {error}") from None


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a doubled key")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _judge(callback: Payload) -> None:
    """Classify it alone, and as GetResult's answer."""
    for evidence in (
        Evidence(callback, None, "DATA_DESTROYED"),
        Evidence(callback, callback),
        Evidence(None, callback),
    ):
        verdict = classify(evidence, POLICY)
        assert verdict.outcome in Outcome
        assert verdict.reasons


def run(bodies: int, seed: int) -> Counter[tuple[str, str]]:
    """Verify so many bodies. Returns the count of each kind and result."""
    attacker, counts = Attacker(seed), Counter[tuple[str, str]]()
    slowest = 0.0
    for number in range(bodies):
        hostile = attacker.body(number)
        started = time.process_time()
        counts[hostile.kind, outcome(hostile)] += 1
        slowest = max(slowest, time.process_time() - started)
    if slowest > SLOW:
        raise Broken(f"a body took {slowest:.2f} s of CPU time")
    print(f"slowest body: {slowest * 1000:.1f} ms of CPU time")
    return counts


def table(counts: Counter[tuple[str, str]]) -> str:
    """The counts as text."""
    ends = ("verified", "bad_signature", "malformed")
    lines = ["".join([f"{'kind':<20}", *(f"{end:>15}" for end in ends)])]
    lines += ["".join([f"{kind:<20}", *(f"{counts[kind, end]:>15,}" for end in ends)]) for kind in KINDS]
    totals = [sum(counts[kind, end] for kind in KINDS) for end in ends]
    return "\n".join([*lines, "".join([f"{'all':<20}", *(f"{total:>15,}" for total in totals)])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"{given.bodies:,} bodies through the verifier, seed {given.seed}", flush=True)
    started = time.monotonic()
    counts = run(given.bodies, given.seed)
    print(table(counts))
    print(
        f"{counts.total():,} bodies in {time.monotonic() - started:.0f} s: every one verified or Unverified,"
        " 0 forgeries verified, 0 genuine ones refused, 0 other exceptions"
    )


if __name__ == "__main__":
    main()
