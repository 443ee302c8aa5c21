"""`python -m tests.fuzz.pipeline`: posts hostile bodies to real processes, and accounts for every one of them."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

from pyreqwest.client import Client
from redis import Redis

from deploy.local.stack import Stack
from deploy.simulator.driver.browser import http_client
from shared.ledger.message_set import MessageSet
from tests.fuzz.verifier import POLICY, outcome
from tests.support.hostile_bodies import SECRET, Attacker, Hostile
from tests.support.load import decisions
from tests.support.payloads import posted
from tests.support.redis_clients import open_redis
from tests.support.waiting import LIMIT, until
from workers.decisioning.classifier import classify
from workers.decisioning.evidence import Evidence
from workers.faceid.payload import is_final
from workers.faceid.verification import Unverified, check_age, verify

AT_ONCE: Final = 64
LONG_LIMIT: Final = 900.0
RETENTION: Final = 30 * 86_400.0
"""Seconds: the default of FACEID_RETENTION_DAYS."""
QUEUES: Final = ("callbacks", "verified", "reconciled", "decided")


@dataclass(slots=True)
class Expected:
    """What must become of the bodies, by the verifier and the classifier in this process."""

    refused: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Reason, content type and SHA-256 of the body of each callback that must be unverified."""
    noted: int = 0
    """Arrivals that cases must count."""
    outcomes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By case: the outcomes that its final texts allow."""

    def add(self, hostile: Hostile) -> None:
        """Add one body. Raises `Broken` for a forgery that is verified."""
        end = outcome(hostile)
        if end != "verified":
            self.refused[end, hostile.content_type, _digest(hostile.body)] += 1
            return
        verified = verify(posted(hostile.body, hostile.content_type), [SECRET])
        try:
            check_age(verified.biz_id, time.time(), RETENTION)
        except Unverified as error:
            self.refused[error.reason, hostile.content_type, _digest(hostile.body)] += 1
            return
        self.noted += 1
        callback = verified.callback
        if callback is not None and is_final(callback.status):
            verdict = classify(Evidence(callback, None, reconcile=False), POLICY)
            self.outcomes[callback.biz_id].add(verdict.outcome)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the bodies."""

    statuses: Counter[int]
    refused: Counter[tuple[str, str, str]]
    noted: int
    decided: list[tuple[str, str]]
    """biz_id and outcome."""
    dead: int
    pending: int
    died: list[str]
    """Processes that have ended, or that logged an exception."""


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()


async def post_all(stack: Stack, bodies: Iterable[Hostile]) -> Counter[int]:
    """Post every body to the notify or the return channel. Returns how many got which status."""
    statuses, waiting, turn = Counter[int](), iter(bodies), count()

    async def poster(http: Client) -> None:
        for hostile in waiting:
            url = stack.return_url if next(turn) % 3 == 0 else stack.notify_url
            request = http.post(url).header("content-type", hostile.content_type).body_bytes(hostile.body)
            statuses[(await request.build().send()).status] += 1

    async with http_client() as http:
        await asyncio.gather(*(poster(http) for _ in range(AT_ONCE)))
    return statuses


def pending(redis: "Redis") -> int:
    """Items that wait or are in work anywhere, counted in one transaction, since they move."""
    with redis.pipeline(transaction=True) as pipe:
        for queue in QUEUES:
            pipe.xlen(f"faceid.{queue}")
        pipe.zcard("faceid:delayed")
        return sum(pipe.execute())


def find(stack: Stack, statuses: Counter[int]) -> Found:
    """Read from Redis and the processes what became of the bodies."""
    redis = open_redis(stack.redis_url)
    unverified = [item for item in MessageSet(redis, "faceid", "unverified") if item.message is not None]
    cases = [cast("dict[bytes, bytes]", redis.hgetall(key)) for key in redis.scan_iter("faceid:case:*", count=1000)]
    made: list[dict[str, Any]] = decisions(redis)
    return Found(
        statuses=statuses,
        refused=Counter(
            (item.reason, item.message.content_type, item.body_sha256 or _digest(item.message.body))
            for item in unverified
            if item.message
        ),
        noted=sum(int(case.get(b"count:notify", 0)) + int(case.get(b"count:return", 0)) for case in cases),
        decided=[(decision["biz_id"], decision["outcome"]) for decision in made],
        dead=redis.zcard("faceid:dead"),
        pending=pending(redis),
        died=[one.name for one in stack.programs if not one.running or one.logged("Traceback")],
    )


def faults(expected: Expected, found: Found) -> list[str]:
    """What is wrong, one line for each fault."""
    doubled = [biz_id for biz_id, times in Counter(biz_id for biz_id, _ in found.decided).items() if times > 1]
    forged = [biz_id for biz_id, end in found.decided if end not in expected.outcomes.get(biz_id, set())]
    lost = expected.outcomes.keys() - {biz_id for biz_id, _ in found.decided}
    checks = {
        f"answers other than 200: {found.statuses}": set(found.statuses) != {200},
        f"missing among the unverified: {(expected.refused - found.refused).total()}": expected.refused - found.refused,
        f"wrongly unverified: {(found.refused - expected.refused).total()}": found.refused - expected.refused,
        f"arrivals noted: {found.noted} instead of {expected.noted}": found.noted != expected.noted,
        f"cases decided twice: {doubled[:3]}": doubled,
        f"decisions without a signed text: {forged[:3]}": forged,
        f"cases without a decision: {sorted(lost)[:3]}": lost,
        f"dead letters: {found.dead}": found.dead,
        f"still pending: {found.pending}": found.pending,
        f"processes that died: {found.died}": found.died,
    }
    return [line for line, wrong in checks.items() if wrong]


def account(found: Found) -> str:
    """Where every body went, as text."""
    decided, refused = len(found.decided), Counter[str]()
    for (reason, _, _), times in found.refused.items():
        refused[reason] += times
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(refused.items()))
    return "\n".join(
        [
            f"posted      {found.statuses.total():>8,}  answered 200: {found.statuses[200]:,}",
            f"unverified  {refused.total():>8,}  {reasons}",
            f"decided     {decided:>8,}  each case once",
            f"dropped     {found.noted - decided:>8,}  joined a case, came after its decision, or decides nothing",
            f"sum         {refused.total() + found.noted:>8,}",
            f"dead {found.dead}, pending {found.pending}, processes that died {len(found.died)}, forged and decided 0",
        ]
    )


def load(bodies: int, seed: int) -> list[Hostile]:
    """So many bodies. Every tenth repeats an earlier one: an attacker who has seen a valid pair can replay it."""
    attacker = Attacker(seed)
    return [attacker.body(number // 2 if number % 10 == 9 else number) for number in range(bodies)]


def run(stack: Stack, bodies: Sequence[Hostile], seconds: float = LIMIT) -> tuple[Expected, Found]:
    """Post all bodies to a running stack without GetResult. Waits `seconds` at most until all are processed."""
    expected, redis = Expected(), open_redis(stack.redis_url)
    for hostile in bodies:
        expected.add(hostile)
    statuses = asyncio.run(post_all(stack, bodies))
    until(lambda: pending(redis) == 0, seconds, what="all bodies are processed", of=stack.programs)
    return expected, find(stack, statuses)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"{given.bodies:,} bodies through the whole pipeline, seed {given.seed}", flush=True)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="faceid-fuzz-") as folder,
        Stack(Path(folder), settings={"FACEID_RECONCILE": "never"}).running() as stack,
    ):
        expected, found = run(stack, load(given.bodies, given.seed), seconds=LONG_LIMIT)
    wrong = faults(expected, found)
    print("\n".join([account(found), *wrong]))
    print(f"every body is accounted for; {time.monotonic() - started:.0f} s" if not wrong else "NOT accounted for")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
