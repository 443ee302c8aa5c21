"""The schemas and the code agree for generated messages, not only for the examples."""

import json
from typing import Final

from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.alert import Alert, AlertKind
from shared.events.cloudevent import from_event, to_event
from shared.events.decision import (
    Decision,
    Effect,
    Face,
    Genuineness,
    Liveness,
    Outcome,
    PolicyRef,
    Reason,
    ReasonCode,
    decision_id,
    timestamp,
)
from tests.support.events import GOLDEN, is_valid, json_paths, with_value
from tests.support.payloads import CALLBACKS, posted
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import Evidence, ReconciledCase
from workers.decisioning.policy import Policy
from workers.faceid.payload import InvalidPayload, Payload
from workers.faceid.verification import VerifiedArrival

POLICY: Final = Policy.load()

numbers = st.floats(allow_nan=False, allow_infinity=False)
shares, percents, counts = st.floats(0, 1), st.floats(0, 100), st.integers(0, 2**53)
moments = st.floats(0, 4e9).map(timestamp)
accounts = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True).filter(lambda name: name != "_")
biz_ids = st.from_regex(r"[\x21-\x7e]{1,128}", fullmatch=True)
ids = st.builds(decision_id, accounts, biz_ids, counts)
reasons = st.builds(
    Reason,
    code=st.sampled_from(ReasonCode),
    field=st.text(),
    value=st.none() | numbers | st.text(),
    limit=st.none() | numbers | st.tuples(numbers, numbers),
    effect=st.sampled_from(Effect),
)
decisions = st.builds(
    Decision,
    biz_id=biz_ids,
    biz_no=st.none() | st.text(),
    biz_extra_data=st.none() | st.text(),
    account=accounts,
    outcome=st.sampled_from(Outcome),
    reasons=st.lists(reasons, min_size=1, max_size=4).map(tuple),
    policy=st.builds(PolicyRef, st.text(), st.from_regex("[0-9a-f]{64}", fullmatch=True)),
    reconciled=st.booleans(),
    channels=st.lists(st.sampled_from(["notify", "return"]), max_size=2).map(tuple),
    revision=st.integers(1, 2**31),
    supersedes=st.none() | ids,
    status=st.none() | st.text(),
    liveness=st.none()
    | st.builds(Liveness, st.none() | st.text(), st.none() | st.text(), st.dictionaries(st.text(), counts)),
    genuineness=st.none() | st.builds(Genuineness, *[st.none() | shares] * 7),
    faces=st.lists(
        st.builds(Face, st.text(), st.none() | percents, st.dictionaries(st.text(), percents)), max_size=3
    ).map(tuple),
    received_at=moments,
    decided_at=moments,
)
alerts = st.builds(
    Alert,
    kind=st.sampled_from(AlertKind),
    account=st.none() | accounts,
    biz_id=st.none() | biz_ids,
    message=st.text(),
    detail=st.dictionaries(st.text(), st.none() | st.text() | numbers),
    at=moments,
)


@given(decisions | alerts)
@settings(max_examples=50, deadline=None)
def test_every_decision_and_alert_is_valid_and_the_same_after_reading(message: Decision | Alert) -> None:
    event = to_event(message)
    assert is_valid(json.loads(event))
    assert from_event(event) == message
    assert JSONFormat().read(None, event).get_id() == message.id


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | st.text() | moments | st.sampled_from(Outcome),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_the_decision_on_any_payload_is_valid(data: st.DataObject) -> None:
    payload = CALLBACKS[data.draw(st.sampled_from(sorted(CALLBACKS)))]
    path = data.draw(st.sampled_from([path for path in json_paths(payload) if path]))
    try:
        said = Payload.from_json(json.dumps(with_value(payload, path, data.draw(anything))))
    except InvalidPayload:
        return
    evidence = data.draw(st.sampled_from([Evidence(said, said), Evidence(said, None, "RESULT_NOT_FOUND")]))
    reconciled = ReconciledCase(
        VerifiedArrival(said.biz_id, said, "", 0), "", evidence.result, evidence.refusal, True, ("notify",)
    )
    decision = decide(posted(b""), reconciled, classify(evidence, POLICY), POLICY, 1_700_000_000.0)
    assert is_valid(json.loads(to_event(decision, decision.dump())))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_every_event_that_the_schema_accepts_can_be_read(data: st.DataObject) -> None:
    event = GOLDEN[data.draw(st.sampled_from(sorted(GOLDEN)))]
    path = data.draw(st.sampled_from([path for path in json_paths(event) if path]))
    event = with_value(event, path, data.draw(anything))
    if is_valid(event):
        from_event(json.dumps(event))
