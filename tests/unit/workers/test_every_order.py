"""Arrivals of one verification, in any order and number, give exactly one decision with the expected outcome.

The expected outcome is computed here from the arrivals and GetResult's answer, with the classifier alone.
"""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.accounts import Account
from shared.messaging.envelope import Channel, Envelope
from tests.support.one_worker import OneWorker
from tests.support.payloads import BIZ_ID, FORM, callback, changed, signed
from workers.decisioning.classifier import classify
from workers.decisioning.evidence import Evidence, fingerprint
from workers.decisioning.policy import Policy
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused
from workers.faceid.payload import is_final

NOW = 1_462_259_800.0
"""Shortly after the token of `BIZ_ID` was issued."""
POLICY = Policy.load()

STATUSES = {
    "NOT_STARTED": "not-started",
    "PROCESSING": "processing",
    "WEBRTC_UNSUPPORTED": "webrtc-unsupported",
    "OK": "clean-pass",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "TIMEOUT": "timeout",
    "ARCHIVED": "unknown-status",
}
"""Every status on FaceID's callback page and an unknown one, and the vector that has it."""
OPEN = ("NOT_STARTED", "PROCESSING")
Vendor = Literal["answers", "still open", "refuses", "fails"]


@dataclass(frozen=True)
class Arrived:
    """One arrival: a signed POST with the status `what`, `unsigned` for a GET return, or `forged` for a forged POST."""

    what: str
    channel: Channel = "notify"
    deaths: int = 0

    def envelope(self, number: int) -> Envelope:
        if self.what == "unsigned":
            return Envelope(f"item-{number}", "default", "return", "GET", NOW, b"", query=f"biz_id={BIZ_ID}")
        secret = {"secret": "guessed"} if self.what == "forged" else {}
        text = json.dumps(changed(STATUSES.get(self.what, "clean-pass")))
        body = signed(text, **secret).body
        return Envelope(f"item-{number}", "default", self.channel, "POST", NOW, body, FORM)


ARRIVALS = st.lists(
    st.builds(
        Arrived,
        what=st.sampled_from([*STATUSES, "OK", "OK", "unsigned", "unsigned", "forged"]),
        channel=st.sampled_from(get_args(Channel)),
        deaths=st.sampled_from([0, 0, 0, 1, 3]),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class FaceID:
    """GetResult. `mood` says how it behaves, `truth` the status that it answers with."""

    mood: Vendor
    truth: str
    reads: list[str] = field(default_factory=list)

    async def __call__(self, _: Account, biz_id: str) -> Answer:
        self.reads.append(biz_id)
        match self.mood:
            case "answers":
                return Answered(json.dumps(changed(STATUSES[self.truth])).encode())
            case "still open":
                return Answered(json.dumps(changed("processing")).encode())
            case "refuses":
                return Refused("DATA_DESTROYED")
            case "fails":
                return Failed("INTERNAL_ERROR")


def outcome_of(deciding: str | None, faceid: FaceID, *later: str, reconciled: bool = True) -> str:
    """The outcome of a case by this signed status and `later` ones; None for a case with unsigned returns only."""
    posted = callback(STATUSES[deciding]) if deciding else None
    others = tuple(callback(STATUSES[status]) for status in later)
    if not reconciled:
        return classify(Evidence(posted, None, reconcile=False, later=others), POLICY).outcome
    refusal = {"still open": "BUDGET_SPENT", "refuses": "DATA_DESTROYED", "fails": "BUDGET_SPENT"}.get(faceid.mood)
    result = callback(STATUSES[faceid.truth]) if faceid.mood == "answers" else None
    return classify(Evidence(posted, result, refusal, later=others), POLICY).outcome


def expected(arrived: list[Arrived], faceid: FaceID, *, reconciled: bool = True) -> set[str]:
    """The outcomes that the case may get; empty when it must get no decision."""
    final = finals(arrived)
    if final:
        alone = {outcome_of(status, faceid, reconciled=reconciled) for status in final}
        return alone | {outcome_of(status, faceid, *final, reconciled=reconciled) for status in final}
    started = [one.what for one in arrived if one.what in OPEN]
    unsigned = any(one.what == "unsigned" for one in arrived)
    if not reconciled or faceid.mood == "still open" or not (started or unsigned):
        return set()
    if faceid.mood == "answers":
        return {outcome_of(status, faceid) for status in (*started, *([None] if unsigned else []))}
    return {outcome_of(status, faceid) for status in started}


def finals(arrived: list[Arrived]) -> list[str]:
    return [one.what for one in arrived if one.what in STATUSES and is_final(one.what)]


def first_final(arrived: list[Arrived]) -> str | None:
    return next((one.what for one in arrived if one.what in STATUSES and is_final(one.what)), None)


def conflicts(arrived: list[Arrived]) -> int:
    """How many final callbacks differ from the first one, each content counted once."""
    return max(0, len({fingerprint(callback(STATUSES[one.what])) for one in arrived if first_final([one])}) - 1)


def check(
    worker: OneWorker, arrived: list[Arrived], faceid: FaceID, allowed: set[str], *, reconciled: bool = True
) -> None:
    published = sorted(worker.published(), key=lambda decision: decision["revision"])
    assert [decision["revision"] for decision in published] == [1, 2][: len(published)]
    assert bool(published) == bool(allowed)
    assert {decision["outcome"] for decision in published} <= allowed
    assert worker.committed(BIZ_ID) == published[-1:]
    if final := finals(arrived):  # what is in force at the end does not depend on the order
        approved = outcome_of(final[0], faceid, *final, reconciled=reconciled) == "APPROVED"
        assert (published[-1]["outcome"] == "APPROVED") is approved
    assert worker.message_set("unverified") == ["bad_signature"] * sum(one.what == "forged" for one in arrived)
    assert worker.message_set("outbox").count("evidence_conflict") == conflicts(arrived)
    assert worker.message_set("dead") == []
    assert len(faceid.reads) <= (3 if any(one.what in STATUSES for one in arrived) else 2)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, st.sampled_from(get_args(Vendor)), st.sampled_from([s for s in STATUSES if s not in OPEN]))
async def test_in_sequence_the_first_signed_final_callback_decides(
    arrived: list[Arrived], mood: Vendor, truth: str
) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    for number, one in enumerate(arrived):
        await worker.process(one.envelope(number), deaths=one.deaths)
    await worker.run_until_idle()
    first = first_final(arrived)
    check(worker, arrived, faceid, expected(arrived, faceid))
    assert not first or worker.published()[0]["outcome"] == outcome_of(first, faceid)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, st.sampled_from(get_args(Vendor)), st.sampled_from([s for s in STATUSES if s not in OPEN]))
async def test_at_once_exactly_one_arrival_decides(arrived: list[Arrived], mood: Vendor, truth: str) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    envelopes = [one.envelope(number) for number, one in enumerate(arrived)]
    await worker.process_all(envelopes, deaths=[one.deaths for one in arrived])
    await worker.run_until_idle()
    check(worker, arrived, faceid, expected(arrived, faceid))


@settings(max_examples=25, deadline=None)
@given(ARRIVALS, st.randoms())
async def test_without_reconciling_nothing_is_read_and_unsigned_returns_decide_nothing(
    arrived: list[Arrived], random: Random
) -> None:
    faceid = FaceID("answers", "OK")
    worker = OneWorker(faceid, reconcile="never", now=NOW)
    envelopes = [one.envelope(number) for number, one in enumerate(arrived)]
    random.shuffle(envelopes)
    await worker.process_all(envelopes)
    await worker.run_until_idle()
    check(worker, arrived, faceid, expected(arrived, faceid, reconciled=False), reconciled=False)
    assert faceid.reads == []


NAMED: dict[str, tuple[list[Arrived], Vendor, str, str | None, int]] = {
    "PROCESSING, then OK": ([Arrived("NOT_STARTED"), Arrived("PROCESSING"), Arrived("OK")], "answers", "OK",
                            "APPROVED", 1),
    "OK, then a late TIMEOUT": ([Arrived("OK"), Arrived("TIMEOUT")], "answers", "OK", "APPROVED", 1),
    "a return before its notify": ([Arrived("OK", "return"), Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a notify only": ([Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a posted return only": ([Arrived("OK", "return")], "answers", "OK", "APPROVED", 1),
    "a GET return only": ([Arrived("unsigned")], "answers", "OK", "APPROVED", 1),
    "a GET return, then its notify": ([Arrived("unsigned"), Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a GET return of a cancelled flow": ([Arrived("unsigned")], "answers", "CANCELLED", "INCOMPLETE", 1),
    "a flow that never ends": ([Arrived("PROCESSING")], "answers", "TIMEOUT", "INCOMPLETE", 1),
    "a flow that never becomes final": ([Arrived("PROCESSING")], "still open", "OK", None, 1),
    "a made-up biz_id": ([Arrived("unsigned")] * 5, "refuses", "OK", None, 1),
    "an unsigned return whose reads fail": ([Arrived("unsigned")] * 5, "fails", "OK", None, 2),
    "an unsigned return, a notify, reads fail": ([Arrived("unsigned"), Arrived("OK")], "fails", "OK", "REVIEW", 3),
    "evidence lost": ([Arrived("OK")], "refuses", "OK", "REVIEW", 1),
    "a forgery before the notify": ([Arrived("forged"), Arrived("CANCELLED")], "answers", "CANCELLED",
                                    "INCOMPLETE", 1),
    "a FAILED callback, but GetResult says OK": ([Arrived("FAILED")], "answers", "OK", "REVIEW", 1),
}  # fmt: skip


@pytest.mark.parametrize(("arrived", "mood", "truth", "outcome", "reads"), NAMED.values(), ids=NAMED)
async def test_a_named_order_gets_its_expected_outcome(
    arrived: list[Arrived], mood: Vendor, truth: str, outcome: str | None, reads: int
) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    for number, one in enumerate(arrived):
        await worker.process(one.envelope(number))
    await worker.run_until_idle()
    assert [decision["outcome"] for decision in worker.decisions] == ([outcome] if outcome else [])
    assert len(faceid.reads) == reads
