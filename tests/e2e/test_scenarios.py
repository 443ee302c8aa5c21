"""Every scenario of the simulator and every callback fault, from the callback to the decision."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis import Redis

from deploy.local.session_runner import FinishedSession, SessionRunner
from deploy.local.sessions import Session
from deploy.local.stack import Stack
from deploy.simulator.model.faults import Faults
from deploy.simulator.model.scenarios import SCENARIOS
from tests.support.load import alerts, decisions
from tests.support.queues import is_idle
from tests.support.redis_clients import open_redis
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

SETTINGS = {
    "FACEID_HINT_DELAY_SECONDS": "0.5",
    "FACEID_TOKEN_LIFE_SECONDS": "3",
    "FACEID_READ_SPACING_SECONDS": "0.1",
}


@dataclass(frozen=True)
class Case:
    """A session and its expected result. An empty `outcome` means that no decision is expected."""

    scenario: str
    outcome: str = "APPROVED"
    reasons: tuple[str, ...] = ("FACE_MATCHED",)
    faults: Faults = field(default_factory=Faults)
    method: str = "POST"
    alerts: tuple[str, ...] = ()


BY_SCENARIO: dict[str, Case] = {
    case.scenario: case
    for case in (
        Case("pass"),
        Case("liveness-fail", "REJECTED", ("LIVENESS_FAILED",)),
        Case("synthetic-attack", "REJECTED", ("FACE_MATCHED", "LIVENESS_FAILED", "ATTACK_SYNTHETIC_FACE")),
        Case("mask-attack", "REJECTED", ("FACE_MATCHED", "LIVENESS_FAILED", "ATTACK_MASK")),
        Case("screen-replay-attack", "REJECTED", ("FACE_MATCHED", "LIVENESS_FAILED", "ATTACK_SCREEN_REPLAY")),
        Case("face-replaced-attack", "REJECTED", ("FACE_MATCHED", "LIVENESS_FAILED", "ATTACK_FACE_REPLACED")),
        Case("mask-at-threshold"),
        Case("no-genuineness", "REVIEW", ("FACE_MATCHED", "GENUINENESS_MISSING")),
        Case("face-between", "REVIEW", ("FACE_BETWEEN_THRESHOLDS",)),
        Case("face-at-threshold"),
        Case("face-below", "REJECTED", ("FACE_BELOW_THRESHOLD",)),
        Case("no-face", "REJECTED", ("NO_FACE_FOUND",)),
        Case("several-faces", "REVIEW", ("FACE_MATCHED", "MULTIPLE_FACES")),
        Case("two-refs", reasons=("FACE_MATCHED", "FACE_MATCHED")),
        Case("two-refs-one-below", "REJECTED", ("FACE_MATCHED", "FACE_BELOW_THRESHOLD")),
        Case("liveness-only", "UNDETERMINED", ("EVIDENCE_INCOMPLETE",)),
        Case("verify-null", "UNDETERMINED", ("EVIDENCE_INCOMPLETE",)),
        Case("data-source-error", "UNDETERMINED", ("DATA_SOURCE_ERROR",), alerts=("data_source_error",)),
        Case("internal-error", "UNDETERMINED", ("VENDOR_INTERNAL_ERROR",)),
        Case("cancelled", "INCOMPLETE", ("FLOW_CANCELLED",)),
        Case("timeout", "INCOMPLETE", ("FLOW_TIMEOUT",)),
        Case("failed", "INCOMPLETE", ("FLOW_FAILED",)),
        Case("webrtc-unsupported", "INCOMPLETE", ("WEBRTC_UNSUPPORTED",)),
        Case("webrtc-no-camera", "INCOMPLETE", ("WEBRTC_UNSUPPORTED",)),
        Case("webrtc-no-network", "INCOMPLETE", ("WEBRTC_UNSUPPORTED",)),
        Case("processing-first"),
        Case("not-started-first"),
        Case("processing", "", ()),
        Case("not-started", "", ()),
        Case("unknown-status", "UNDETERMINED", ("UNKNOWN_STATUS",)),
        Case("numbers-as-strings"),
        Case("unknown-fields"),
        Case("misspelt-counter"),
    )
}
BY_FAULT: dict[str, Case] = {
    "lose_notify": Case("pass", faults=Faults(lose_notify=True)),
    "lose_notify and a GET return": Case("pass", faults=Faults(lose_notify=True), method="GET"),
    "lose_return": Case("pass", faults=Faults(lose_return=True)),
    "notify_late_seconds": Case("pass", faults=Faults(notify_late_seconds=0.3)),
    "return_late_seconds": Case("pass", faults=Faults(return_late_seconds=0.3)),
    "notify_copies": Case("pass", faults=Faults(notify_copies=4)),
    "multipart": Case("pass", faults=Faults(multipart=True)),
    "raw_utf8": Case("pass", faults=Faults(raw_utf8=True)),
    "extra_fields": Case("pass", faults=Faults(extra_fields=(("note", "x"),))),
    "extra_fields, a second data": Case("pass", "", (), Faults(extra_fields=(("data", "{}"),))),
    "forged": Case("cancelled", "INCOMPLETE", ("FLOW_CANCELLED",), Faults(forged="altered")),
    "forged with a wrong secret": Case("failed", "INCOMPLETE", ("FLOW_FAILED",), Faults(forged="wrong-secret")),
    "then": Case(
        "pass",
        "REVIEW",
        ("FACE_MATCHED", "EVIDENCE_MISMATCH"),
        Faults(then="timeout"),
        alerts=("evidence_conflict",),
    ),
    "result": Case("pass", "REJECTED", ("FACE_BELOW_THRESHOLD", "EVIDENCE_MISMATCH"), Faults(result="face-below")),
}
CASES = BY_SCENARIO | BY_FAULT


@dataclass(frozen=True)
class Result:
    """The decisions and alerts of one session."""

    decisions: list[dict[str, Any]]
    alerts: list[str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """Play all sessions at once and wait until all are decided."""
    with (
        new_stack(tmp_path_factory.mktemp("scenarios"), worker_stages=((),), settings=SETTINGS).running() as stack,
        open_redis(stack.redis_url) as redis,
    ):
        played = asyncio.run(play(stack))
        expected = sum(bool(case.outcome) for case in CASES.values())
        until(lambda: len(decisions(redis)) >= expected and is_idle(redis), what="every decision", of=stack.programs)
        yield {name: result(redis, one.biz_id) for name, one in played.items()}


async def play(stack: Stack) -> dict[str, FinishedSession]:
    async def one(name: str, case: Case) -> tuple[str, FinishedSession]:
        session = Session(case.scenario, case.outcome, 1, case.method, case.faults)
        (played,) = [played async for played in SessionRunner(stack).run([session])]
        return name, played

    return dict(await asyncio.gather(*(one(name, case) for name, case in CASES.items())))


def result(redis: "Redis", biz_id: str) -> Result:
    return Result(decisions(redis, biz_id), [alert.kind for alert in alerts(redis) if alert.biz_id == biz_id])


def test_every_scenario_and_every_callback_fault_has_a_case() -> None:
    assert set(BY_SCENARIO) == set(SCENARIOS)
    played = {name for case in BY_FAULT.values() for name in case.faults.model_fields_set}
    assert played == set(Faults.model_fields) - {"get_result"}


@pytest.mark.parametrize("name", CASES)
def test_each_session_is_decided_once_with_its_outcome(name: str, results: dict[str, Result]) -> None:
    case, found = CASES[name], results[name]
    made = [(one["outcome"], tuple(reason["code"] for reason in one["reasons"])) for one in found.decisions]
    superseded = found.alerts.count("decision_superseded")  # 1 if the contradiction came after the decision
    assert len(made) == bool(case.outcome) + superseded
    assert made[-1:] == ([(case.outcome, case.reasons)] if case.outcome else [])
    assert superseded == 0 or case.alerts
    assert all(one["reconciled"] for one in found.decisions)
    assert tuple(kind for kind in found.alerts if kind != "decision_superseded") == case.alerts
