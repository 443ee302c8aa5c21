"""Decisions and alerts as CloudEvents, read and written by this package and by the CloudEvents SDK."""

import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from shared.events.alert import MESSAGES, Alert, AlertKind
from shared.events.cloudevent import CONTENT_TYPE, from_event, to_event, topic
from shared.events.decision import Decision, PolicyRef
from tests.support.payloads import BIZ_ID, CALLBACKS, callback
from workers.decisioning.classifier import classify
from workers.decisioning.decided_case import DecidedCase
from workers.decisioning.evidence import Evidence
from workers.decisioning.policy import Policy

POLICY = Policy.load()
ALERT = Alert.of(AlertKind.DATA_SOURCE_ERROR, "default", 1462259763.25, BIZ_ID, calls=3)


def decision(name: str) -> Decision:
    payload = callback(name)
    verdict = classify(Evidence(payload, payload), POLICY)
    decided = DecidedCase(
        biz_id=payload.biz_id,
        biz_no=verdict.biz_no,
        biz_extra_data=verdict.biz_extra_data,
        account="default",
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        policy=PolicyRef(POLICY.version, POLICY.digest),
        reconciled=verdict.reconciled,
        channels=("notify", "return"),
        revision=1,
        supersedes=None,
        status=verdict.status,
        liveness=verdict.liveness,
        genuineness=verdict.genuineness,
        faces=verdict.faces,
        received_at="2016-05-03T07:16:03.250Z",
        decided_at="2016-05-03T07:16:03.500Z",
    )
    return decided.decision


GOLDEN = b"""\
{"specversion":"1.0","id":"353b28c4-6b25-5d68-8685-885dbdff7851","type":"faceid.decision.v1","source":"faceid/default",\
"subject":"1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1","time":"2016-05-03T07:16:03.500Z",\
"datacontenttype":"application/json","dataschema":"urn:faceid:decision:v1","data":{\
"biz_id":"1462259748,52b13fb5-8dfb-4537-a62b-a641d5e929f1","biz_no":"cc47190f-502-44a2-ab74-ea4f0f649f61",\
"biz_extra_data":"...","account":"default","outcome":"REJECTED","reasons":[\
{"code":"ATTACK_SYNTHETIC_FACE","field":"liveness_result.face_genuineness.synthetic_face_confidence",\
"value":0.88,"limit":0.5,"effect":"reject"},\
{"code":"FACE_BETWEEN_THRESHOLDS","field":"verify_result.result_ref1.confidence",\
"value":68.918,"limit":[64.0,69.0],"effect":"review"}],\
"policy":{"version":"default-1","digest":"8483c78392ec96e8bde6bcfe7b640669e16eea47980ddacf9c18f357412551b9"},\
"reconciled":true,"channels":["notify","return"],"revision":1,"supersedes":null,"status":"OK",\
"liveness":{"result":"PASS","procedure_type":"still","details":{"UPLOAD_TIMES":5,"FACE_NOT_FOUND":0,\
"LOW_FACE_QUALITY":0,"INVALID_VIDEO_DURATION":1,"SR_ERROR":2,"NOT_SYNCHRONIZED":1,"VIDEO_FORMAT_UNSUPPORTED":0,\
"NO_AUDIO":0}},\
"genuineness":{"synthetic_face_confidence":0.88,"synthetic_face_threshold":0.5,"mask_confidence":0.32,\
"mask_threshold":0.5,"screen_replay_confidence":0.0,"screen_replay_threshold":0.5,"face_replaced":null},\
"faces":[{"ref":"result_ref1","confidence":68.918,"thresholds":{"1e-3":64.0,"1e-4":69.0,"1e-5":74.0,"1e-6":79.9}}],\
"received_at":"2016-05-03T07:16:03.250Z","decided_at":"2016-05-03T07:16:03.500Z"}}"""


def test_the_example_of_the_official_page_gives_these_bytes() -> None:
    assert to_event(decision("official-page-example")) == GOLDEN


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_same_evidence_gives_the_same_bytes(name: str) -> None:
    assert to_event(decision(name)) == to_event(decision(name))


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_decision_is_the_same_after_writing_and_reading(name: str) -> None:
    assert from_event(to_event(decision(name))) == decision(name)


@pytest.mark.parametrize("name", CALLBACKS)
def test_the_sdk_reads_every_decision(name: str) -> None:
    made = decision(name)
    event = JSONFormat().read(None, to_event(made))
    assert isinstance(event, CloudEvent)
    assert (event.get_specversion(), event.get_id(), event.get_type()) == ("1.0", made.id, "faceid.decision.v1")
    assert (event.get_source(), event.get_subject()) == ("faceid/default", BIZ_ID)
    assert event.get_time() == datetime(2016, 5, 3, 7, 16, 3, 500_000, tzinfo=UTC)
    assert (event.get_datacontenttype(), event.get_dataschema()) == ("application/json", "urn:faceid:decision:v1")
    assert event.get_data() == json.loads(made.model_dump_json())


def test_the_content_type_is_that_of_the_sdk() -> None:
    assert JSONFormat().get_content_type() == CONTENT_TYPE


def test_the_data_has_the_members_of_the_contract_in_their_order() -> None:
    assert list(json.loads(to_event(decision("clean-pass")))["data"]) == [
        "biz_id", "biz_no", "biz_extra_data", "account", "outcome", "reasons", "policy", "reconciled", "channels",
        "revision", "supersedes", "status", "liveness", "genuineness", "faces", "received_at", "decided_at",
    ]  # fmt: skip


def test_the_sdk_reads_an_alert() -> None:
    event = JSONFormat().read(None, to_event(ALERT))
    assert (event.get_id(), event.get_type(), event.get_subject()) == (ALERT.id, "faceid.alert.v1", BIZ_ID)
    assert event.get_data() == {
        "kind": "data_source_error",
        "account": "default",
        "biz_id": BIZ_ID,
        "message": MESSAGES[AlertKind.DATA_SOURCE_ERROR],
        "detail": {"calls": 3},
        "at": "2016-05-03T07:16:03.250Z",
    }


def test_an_alert_is_the_same_after_writing_and_reading() -> None:
    assert from_event(to_event(ALERT)) == ALERT


def test_an_alert_about_a_whole_account_has_no_subject() -> None:
    alert = Alert.of(AlertKind.BREAKER_OPENED, "default", 0)
    assert JSONFormat().read(None, to_event(alert)).get_subject() is None
    assert from_event(to_event(alert)) == alert


def test_an_alert_about_the_whole_pipeline_has_no_account() -> None:
    alert = Alert.of(AlertKind.BACKLOG_AGE, None, 0)
    event = JSONFormat().read(None, to_event(alert))
    assert (event.get_source(), event.get_subject()) == ("faceid", None)
    assert topic(alert) == "alert._.backlog_age"
    assert topic(Alert.of(AlertKind.ATTACK_RATE, "north", 0)) == "alert.north.attack_rate"
    assert from_event(to_event(alert)) == alert


def test_the_same_alert_has_the_same_id_and_others_have_other_ids() -> None:
    others = [
        Alert.of(AlertKind.EVIDENCE_CONFLICT, "default", 1462259763.25, BIZ_ID),
        Alert.of(AlertKind.DATA_SOURCE_ERROR, "other", 1462259763.25, BIZ_ID),
        Alert.of(AlertKind.DATA_SOURCE_ERROR, "default", 1462259764.25, BIZ_ID),
        Alert.of(AlertKind.DATA_SOURCE_ERROR, "default", 1462259763.25),
    ]
    assert ALERT.id == Alert.of(AlertKind.DATA_SOURCE_ERROR, "default", 1462259763.25, BIZ_ID, calls=4).id
    assert len({ALERT.id, *(other.id for other in others)}) == 5


def test_a_data_source_error_says_what_the_vendor_demands() -> None:
    assert "stop the service, contact FaceID" in ALERT.message


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_of_alert_has_a_message(kind: AlertKind) -> None:
    assert Alert.of(kind, "default", 0).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        GOLDEN[:-1],
        GOLDEN.replace(b"faceid.decision.v1", b"faceid.decision.v2"),
        GOLDEN.replace(b'"1.0"', b'"0.3"'),
        GOLDEN.replace(b"REJECTED", b"PERHAPS"),
        GOLDEN.replace(b'"outcome"', b'"outcom"'),
    ],
)
def test_bytes_that_are_not_an_event_of_this_type_and_version_are_invalid(body: bytes) -> None:
    with pytest.raises(ValidationError):
        from_event(body)


def test_unknown_attributes_are_ignored() -> None:
    body = GOLDEN.replace(b'{"specversion"', b'{"traceparent":"00-1","specversion"')
    assert from_event(body) == decision("official-page-example")
