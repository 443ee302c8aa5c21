"""Every GetResult fault through real processes: the outcome, and the reads that are spent."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from deploy.local.session_runner import FinishedSession, SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.driver.control_client import ControlClient
from deploy.simulator.model.faults import Faults, ResultFault, ResultFaultKind
from tests.support.load import decisions
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.server

SETTINGS = {
    "FACEID_READ_SPACING_SECONDS": "0.1,0.2",
    "FACEID_BREAKER_REST_SECONDS": "0.3",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "5",  # only `hang` may exceed it, even on a busy machine
}


@dataclass(frozen=True)
class Case:
    """A fault and its expected result: the outcome, why the decision is not reconciled, and the reads spent."""

    fault: ResultFault
    outcome: str = "APPROVED"
    why: str | None = None
    reads: int = 1


def once(kind: ResultFaultKind, **more: Any) -> ResultFault:
    return ResultFault(kind=kind, **more)


CASES: dict[str, Case] = {
    # The answer is correct, or the call can't have read the result: no extra read is spent.
    "slow": Case(once("slow", delay_ms=300)),
    "busy": Case(once("busy", times=2)),
    "authentication-error": Case(once("authentication-error", times=2)),
    "authorization-error": Case(once("authorization-error")),
    "api-not-found": Case(once("api-not-found")),
    # The call may have read the result: a read is spent. The next read gets the result.
    "internal-error": Case(once("internal-error"), reads=2),
    "not-json": Case(once("not-json"), reads=2),
    "not-json with 200": Case(once("not-json", http_status=200), reads=2),
    "hang": Case(once("hang"), reads=2),
    "broken": Case(once("broken"), reads=2),
    "internal-error twice": Case(once("internal-error", times=2), reads=3),
    # Every read fails: the outcome is REVIEW, decided on the signed callback.
    "internal-error to the end": Case(once("internal-error", times=None), "REVIEW", "BUDGET_SPENT", 3),
    "not-json to the end": Case(once("not-json", http_status=200, times=None), "REVIEW", "BUDGET_SPENT", 3),
    # GetResult refuses permanently: the case is decided at once.
    "result-not-found": Case(once("result-not-found"), "REVIEW", "RESULT_NOT_FOUND", 0),
    "too-large": Case(once("too-large"), "REVIEW", "ANSWER_TOO_LARGE", 1),
    "data-destroyed": Case(once("data-destroyed"), "REVIEW", "DATA_DESTROYED", 0),
    "bad-arguments": Case(once("bad-arguments"), "REVIEW", "BAD_ARGUMENTS", 0),
    "missing-arguments": Case(once("missing-arguments"), "REVIEW", "MISSING_ARGUMENTS", 0),
    # The error message decides, under any of its keys and with any HTTP status.
    "a message under error": Case(once("data-destroyed", message_key="error"), "REVIEW", "DATA_DESTROYED", 0),
    "a message under ERROR": Case(once("data-destroyed", message_key="ERROR"), "REVIEW", "DATA_DESTROYED", 0),
    "a message with an odd status": Case(once("data-destroyed", http_status=500), "REVIEW", "DATA_DESTROYED", 0),
}


@dataclass(frozen=True)
class Result:
    """The decision on one session and its reads."""

    decision: dict[str, Any]
    reads: int
    """Reads that the ledger has counted."""
    simulator_reads: int
    """Reads that the simulator has counted."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with new_stack(tmp_path_factory.mktemp("faults"), worker_stages=((),), settings=SETTINGS).running() as running:
        yield running


async def play(stack: Stack) -> dict[str, tuple[FinishedSession, ControlClient]]:
    player, names = SessionRunner(stack), {case.fault.model_dump_json(): name for name, case in CASES.items()}
    sessions = [Session("pass", case.outcome, 1, faults=Faults(get_result=(case.fault,))) for case in CASES.values()]
    played = [one async for one in player.run(sessions)]
    return {names[one.session.faults.get_result[0].model_dump_json()]: (one, player.control) for one in played}


@pytest.fixture(scope="module")
def results(stack: Stack) -> dict[str, Result]:
    """Play all sessions at once and wait for their decisions."""

    async def run() -> dict[str, Result]:
        played = await play(stack)
        with open_redis(stack.redis_url) as redis:
            await eventually(
                lambda: len(decisions(redis)) >= len(CASES) and is_idle(redis), what="every decision", of=stack.programs
            )
            made = {decision["biz_id"]: decision for decision in decisions(redis)}
            return {
                name: Result(
                    made[one.biz_id],
                    int(redis.hget(f"faceid:case:{{default}}:{one.biz_id}", "reads") or 0),
                    int((await remote.session(one.biz_id))["reads"]),
                )
                for name, (one, remote) in played.items()
            }

    return asyncio.run(run())


def test_every_kind_of_fault_has_a_case() -> None:
    assert {case.fault.kind for case in CASES.values()} == set(get_args(ResultFaultKind))


@pytest.mark.parametrize("name", CASES)
def test_a_getresult_fault_leads_to_its_outcome(name: str, results: dict[str, Result]) -> None:
    case, found = CASES[name], results[name]
    why = [reason["value"] for reason in found.decision["reasons"] if reason["code"] == "NOT_RECONCILED"]
    assert found.decision["outcome"] == case.outcome
    assert found.decision["reconciled"] is (case.why is None)
    assert why == ([case.why] if case.why else [])
    assert found.reads == case.reads
    assert found.simulator_reads <= max(case.reads, 1) <= 3


def test_each_session_is_decided_once_and_nothing_is_a_dead_letter(stack: Stack, results: dict[str, Result]) -> None:
    with open_redis(stack.redis_url) as redis:
        made = Counter(decision["biz_id"] for decision in decisions(redis))
        assert set(made.values()) == {1}
        assert len(made) == len(results)
        assert redis.zcard("faceid:dead") == redis.zcard("faceid:delayed") == 0


def test_no_result_is_read_more_than_three_times(stack: Stack, results: dict[str, Result]) -> None:
    assert asyncio.run(SessionRunner(stack).max_reads()) <= 3
