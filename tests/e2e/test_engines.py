"""The same sessions get the same decisions on every engine. `make engines` plays 2,000 sessions."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from deploy.local.result_watcher import open_watcher
from deploy.local.session_runner import FinishedSession, SessionRunner
from deploy.local.sessions import draw_sessions
from deploy.local.stack import Stack
from shared.events.decision import Decision
from shared.ledger.message_set import MessageSet
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import LIMIT, eventually

pytestmark = pytest.mark.server
SESSIONS = int(os.environ.get("FACEID_TEST_SESSIONS", "100"))
TIME_LIMIT = LIMIT + SESSIONS / 5
"""Seconds that one engine may take on a busy machine."""
EXTRA_SECONDS = 0.5
"""Wait after the last decision, in which a wrong second decision would arrive."""
SETTINGS = {
    "FACEID_READ_SPACING_SECONDS": "0.5,1",
    "FACEID_HINT_DELAY_SECONDS": "1",
    "FACEID_TOKEN_LIFE_SECONDS": "30",
}
RUN_FIELDS = {"biz_id", "received_at", "decided_at", "channels", "supersedes"}
"""Fields that differ between runs: ids, times, and the channels on which callbacks had arrived."""


@dataclass(frozen=True)
class Run:
    """The decisions of one run on one choice of engines."""

    decisions: dict[int, list[str]]
    """The decisions by the number of their session, without `RUN_FIELDS`."""
    twice: int
    """Sessions with two decisions of the same revision."""
    repeats: int
    """Messages with the id of an earlier one."""
    unverified: int
    reads: int
    seconds: float

    def __str__(self) -> str:
        lost = SESSIONS - len(self.decisions)
        return f"{lost} lost, {self.twice} twice, {self.repeats} repeats under their id, {self.seconds:.0f} s"


async def play(stack: Stack) -> Run:
    """Play the sessions and read every decision from the results queue."""
    watcher, player, started = (
        open_watcher(stack.results_url, "faceid"),
        SessionRunner(stack, at_once=24),
        time.monotonic(),
    )
    following = asyncio.create_task(watcher.watch())
    played = [one async for one in player.run(draw_sessions(SESSIONS, Random(7)))]
    wanted = {one.biz_id for one in played}
    forged = sum(one.session.faults.forged is not None for one in played)
    with open_redis(stack.redis_url) as redis:
        unverified = MessageSet(redis, "faceid", "unverified")

        def is_complete() -> bool:
            if following.done():
                following.result()  # raises the error that ended it
            return wanted <= {one.decision.biz_id for one in watcher.received} and len(unverified) >= forged

        await eventually(
            is_complete,
            TIME_LIMIT,
            what="every decision",
            of=stack.programs,
        )
        seconds = time.monotonic() - started
        await asyncio.sleep(EXTRA_SECONDS)
        following.cancel()
        await watcher.close()
        decided = [one.decision for one in watcher.received]
        return summary(played, decided, len(unverified), await player.max_reads(), seconds)


def summary(
    played: Sequence[FinishedSession], decided: Sequence[Decision], unverified: int, reads: int, seconds: float
) -> Run:
    numbers = {one.biz_id: one.number for one in played}
    by_id = {decision.id: decision for decision in decided}
    decisions: dict[int, list[str]] = {}
    for decision in sorted(by_id.values(), key=lambda decision: decision.revision):
        decisions.setdefault(numbers[decision.biz_id], []).append(evidence(decision))
    revisions = {(decision.biz_id, decision.revision) for decision in by_id.values()}
    return Run(decisions, len(by_id) - len(revisions), len(decided) - len(by_id), unverified, reads, seconds)


def evidence(decision: Decision) -> str:
    """The decision without the fields that differ between runs."""
    return json.dumps(decision.model_dump(mode="json", exclude=RUN_FIELDS | {"biz_no"}), sort_keys=True)


def run_on(folder: Path, broker_url: str = "", results_url: str = "") -> Run:
    stack = new_stack(folder, broker_url=broker_url, results_url=results_url, settings=SETTINGS)
    with stack.running():
        return asyncio.run(play(stack))


@pytest.fixture(scope="module")
def on_redis(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Queues and results on the ledger's Redis. The other runs are compared with this one."""
    return run_on(tmp_path_factory.mktemp("engines") / "redis")


@pytest.mark.timeout(60 + 2 * TIME_LIMIT)
@pytest.mark.parametrize("broker", ["redis", "rabbit"])
@pytest.mark.parametrize("results", ["redis", "rabbit"])
def test_the_same_sessions_get_the_same_decisions_on_every_engine(
    on_redis: Run, tmp_path: Path, rabbit_url: str, redis_url: str, broker: str, results: str
) -> None:
    urls = {"redis": "", "rabbit": rabbit_url}
    if (broker, results) == ("redis", "redis"):
        run = on_redis
    else:
        run = run_on(tmp_path / "stack", urls[broker], urls[results] or redis_url)

    print(f"{SESSIONS} sessions, queues on {broker}, results on {results}: {run}")
    assert sorted(run.decisions) == list(range(1, SESSIONS + 1)), "a session was lost"
    assert run.twice == 0
    assert run.repeats == 0, "no fault was injected"
    assert run.decisions == on_redis.decisions
    assert (run.unverified, run.reads) == (on_redis.unverified, on_redis.reads)
