"""Whatever arrives of a verification, in whatever order and number: one decision, and the right one.

What has to come out is worked out here from what arrived and from what FaceID says, by the judgement alone.
"""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messaging.envelope import Channel, Envelope
from shared.settings import Account
from tests.support.one_worker import OneWorker
from tests.support.payloads import BIZ_ID, FORM, callback, changed, signed
from workers.decisioning.classifier import classify
from workers.decisioning.evidence import Evidence, fingerprint
from workers.decisioning.policy import Policy
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused
from workers.faceid.payload import is_final

NOW = 1_462_259_800.0
"""Shortly after the birth of the token of `BIZ_ID`."""
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
"""Every status that the vendor names and one that he does not, by the payload that has it."""
OPEN = ("NOT_STARTED", "PROCESSING")
Vendor = Literal["answers", "goes on", "refuses", "fails"]


@dataclass(frozen=True)
class Arrived:
    """One arrival: by a POST with its status, by a GET (`hint`), or forged."""

    what: str
    channel: Channel = "notify"
    deaths: int = 0

    def envelope(self, number: int) -> Envelope:
        if self.what == "hint":
            return Envelope(f"item-{number}", "default", "return", "GET", NOW, b"", query=f"biz_id={BIZ_ID}")
        secret = {"secret": "guessed"} if self.what == "forged" else {}
        text = json.dumps(changed(STATUSES.get(self.what, "clean-pass")))
        body = signed(text, **secret).body
        return Envelope(f"item-{number}", "default", self.channel, "POST", NOW, body, FORM)


ARRIVALS = st.lists(
    st.builds(
        Arrived,
        what=st.sampled_from([*STATUSES, "OK", "OK", "hint", "hint", "forged"]),
        channel=st.sampled_from(get_args(Channel)),
        deaths=st.sampled_from([0, 0, 0, 1, 3]),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class FaceID:
    """GetResult in one of its moods; `truth` is the status it answers with."""

    mood: Vendor
    truth: str
    reads: list[str] = field(default_factory=list)

    async def __call__(self, _: Account, biz_id: str) -> Answer:
        self.reads.append(biz_id)
        match self.mood:
            case "answers":
                return Answered(json.dumps(changed(STATUSES[self.truth])).encode())
            case "goes on":
                return Answered(json.dumps(changed("processing")).encode())
            case "refuses":
                return Refused("DATA_DESTROYED")
            case "fails":
                return Failed("INTERNAL_ERROR")


def right(deciding: str | None, faceid: FaceID, *, reconciled: bool = True) -> str:
    """The outcome of a case that this signed status decides; None: that nothing but a hint has come of."""
    posted = callback(STATUSES[deciding]) if deciding else None
    if not reconciled:
        return classify(Evidence(posted, None, reconcile=False), POLICY).outcome
    refusal = {"goes on": "BUDGET_SPENT", "refuses": "DATA_DESTROYED", "fails": "BUDGET_SPENT"}.get(faceid.mood)
    result = callback(STATUSES[faceid.truth]) if faceid.mood == "answers" else None
    return classify(Evidence(posted, result, refusal), POLICY).outcome


def expected(arrived: list[Arrived], faceid: FaceID, *, reconciled: bool = True) -> set[str]:
    """What the case may be decided as; empty: that it must not be."""
    final = [one.what for one in arrived if one.what in STATUSES and is_final(one.what)]
    if final:
        return {right(status, faceid, reconciled=reconciled) for status in final}
    started = [one.what for one in arrived if one.what in OPEN]
    unsigned = any(one.what == "hint" for one in arrived)
    if not reconciled or faceid.mood == "goes on" or not (started or unsigned):
        return set()
    if faceid.mood == "answers":
        return {right(status, faceid) for status in (*started, *([None] if unsigned else []))}
    return {right(status, faceid) for status in started}


def first_final(arrived: list[Arrived]) -> str | None:
    return next((one.what for one in arrived if one.what in STATUSES and is_final(one.what)), None)


def conflicts(arrived: list[Arrived]) -> int:
    """How many things are said that contradict what was said first."""
    return max(0, len({fingerprint(callback(STATUSES[one.what])) for one in arrived if first_final([one])}) - 1)


def check(worker: OneWorker, arrived: list[Arrived], faceid: FaceID, due: set[str]) -> None:
    outcomes = [decision["outcome"] for decision in worker.decisions]
    assert len(outcomes) == bool(due)
    assert set(outcomes) <= due
    assert worker.committed(BIZ_ID) == worker.decisions
    assert worker.message_set("unverified") == ["bad_signature"] * sum(one.what == "forged" for one in arrived)
    assert worker.message_set("outbox") == ["evidence_conflict"] * conflicts(arrived)
    assert worker.message_set("dead") == []
    assert len(faceid.reads) <= (3 if any(one.what in STATUSES for one in arrived) else 2)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, st.sampled_from(get_args(Vendor)), st.sampled_from([s for s in STATUSES if s not in OPEN]))
async def test_one_after_the_other_the_first_signed_end_decides(
    arrived: list[Arrived], mood: Vendor, truth: str
) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    for number, one in enumerate(arrived):
        await worker.take(one.envelope(number), deaths=one.deaths)
    await worker.rest()
    first = first_final(arrived)
    check(worker, arrived, faceid, {right(first, faceid)} if first else expected(arrived, faceid))


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, st.sampled_from(get_args(Vendor)), st.sampled_from([s for s in STATUSES if s not in OPEN]))
async def test_all_at_once_one_of_them_decides(arrived: list[Arrived], mood: Vendor, truth: str) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    envelopes = [one.envelope(number) for number, one in enumerate(arrived)]
    await worker.take_all(envelopes, deaths=[one.deaths for one in arrived])
    await worker.rest()
    check(worker, arrived, faceid, expected(arrived, faceid))


@settings(max_examples=25, deadline=None)
@given(ARRIVALS, st.randoms())
async def test_where_callbacks_alone_are_trusted_nothing_is_read_and_hints_decide_nothing(
    arrived: list[Arrived], random: Random
) -> None:
    faceid = FaceID("answers", "OK")
    worker = OneWorker(faceid, reconcile="never", now=NOW)
    envelopes = [one.envelope(number) for number, one in enumerate(arrived)]
    random.shuffle(envelopes)
    await worker.take_all(envelopes)
    await worker.rest()
    check(worker, arrived, faceid, expected(arrived, faceid, reconciled=False))
    assert faceid.reads == []


NAMED: dict[str, tuple[list[Arrived], Vendor, str, str | None, int]] = {
    "PROCESSING, then OK": ([Arrived("NOT_STARTED"), Arrived("PROCESSING"), Arrived("OK")], "answers", "OK",
                            "APPROVED", 1),
    "OK, then a late TIMEOUT": ([Arrived("OK"), Arrived("TIMEOUT")], "answers", "OK", "APPROVED", 1),
    "a return before its notify": ([Arrived("OK", "return"), Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a notify only": ([Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a posted return only": ([Arrived("OK", "return")], "answers", "OK", "APPROVED", 1),
    "a GET return only": ([Arrived("hint")], "answers", "OK", "APPROVED", 1),
    "a GET return, then its notify": ([Arrived("hint"), Arrived("OK")], "answers", "OK", "APPROVED", 1),
    "a GET return of a cancelled flow": ([Arrived("hint")], "answers", "CANCELLED", "INCOMPLETE", 1),
    "a flow that never ends": ([Arrived("PROCESSING")], "answers", "TIMEOUT", "INCOMPLETE", 1),
    "a flow that nobody knows to have ended": ([Arrived("PROCESSING")], "goes on", "OK", None, 1),
    "a made-up id": ([Arrived("hint")] * 5, "refuses", "OK", None, 1),
    "a hint that can't be read": ([Arrived("hint")] * 5, "fails", "OK", None, 2),
    "a hint, then the notify, unreadable": ([Arrived("hint"), Arrived("OK")], "fails", "OK", "REVIEW", 3),
    "evidence lost": ([Arrived("OK")], "refuses", "OK", "REVIEW", 1),
    "a forgery before the notify": ([Arrived("forged"), Arrived("CANCELLED")], "answers", "CANCELLED",
                                    "INCOMPLETE", 1),
    "a flow told to have failed that was passed": ([Arrived("FAILED")], "answers", "OK", "REVIEW", 1),
}  # fmt: skip


@pytest.mark.parametrize(("arrived", "mood", "truth", "outcome", "reads"), NAMED.values(), ids=NAMED)
async def test_a_named_order_is_decided_as_it_should_be(
    arrived: list[Arrived], mood: Vendor, truth: str, outcome: str | None, reads: int
) -> None:
    faceid = FaceID(mood, truth)
    worker = OneWorker(faceid, now=NOW)
    for number, one in enumerate(arrived):
        await worker.take(one.envelope(number))
    await worker.rest()
    assert [decision["outcome"] for decision in worker.decisions] == ([outcome] if outcome else [])
    assert len(faceid.reads) == reads
