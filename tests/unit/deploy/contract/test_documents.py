"""The committed contract: it is what the code generates, and valid for independent tools."""

import json
import re
from typing import Any, Final

import pytest
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator

from deploy.contract.documents import FOLDER, documents
from deploy.contract.schemas import SCHEMAS
from shared.events.alert import AlertKind
from shared.events.cloudevent import from_event, to_event
from shared.events.decision import Effect, Outcome, ReasonCode
from tests.support.events import COMMITTED, GOLDEN, JsonPath, at, is_valid, json_paths, validator, with_value, without

PAGE: Final = FOLDER.parent / "reference/result-contract.md"
SUPERSEDING: Final[dict[str, Any]] = GOLDEN["decisions/superseding"]


def test_the_committed_documents_are_those_that_the_code_generates() -> None:
    made = documents()
    different = sorted(name for name in made.keys() | COMMITTED.keys() if made.get(name) != COMMITTED.get(name))
    assert different == [], (
        "docs/contract/ is not what the code generates: run `make contract`, check the difference, commit it"
    )


def test_there_is_a_golden_message_for_every_reason_outcome_effect_and_alert() -> None:
    decisions = [event["data"] for name, event in GOLDEN.items() if name.startswith("decisions/")]
    for code in ReasonCode:
        assert code in [reason["code"] for reason in GOLDEN[f"decisions/{code.lower()}"]["data"]["reasons"]]
    assert {decision["outcome"] for decision in decisions} == set(Outcome)
    assert {reason["effect"] for decision in decisions for reason in decision["reasons"]} == set(Effect)
    kinds = {event["data"].get("kind") for event in GOLDEN.values()}
    assert set(AlertKind) - kinds == set(), "deploy/contract/golden_alerts.py has to raise these too"


def test_the_superseding_golden_message_names_the_one_that_it_replaces() -> None:
    first = GOLDEN["decisions/not_reconciled"]
    assert SUPERSEDING["data"]["supersedes"] == first["id"] != SUPERSEDING["id"]
    assert SUPERSEDING["subject"] == first["subject"]
    assert (first["data"]["revision"], SUPERSEDING["data"]["revision"]) == (1, 2)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_and_its_id_is_its_urn(name: str) -> None:
    schema = json.loads(COMMITTED[f"schemas/{name}.json"])
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:faceid:{name.replace('.', ':')}"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_sdk_reads_every_golden_message(name: str) -> None:
    event = JSONFormat().read(None, COMMITTED[f"golden/{name}.json"])
    assert event.get_id() == GOLDEN[name]["id"]
    assert event.get_data() == GOLDEN[name]["data"]


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_message_is_valid_and_dataschema_names_its_schema(name: str) -> None:
    assert is_valid(GOLDEN[name])
    schema = GOLDEN[name]["dataschema"].removeprefix("urn:faceid:").replace(":", ".")
    validator(schema).validate(GOLDEN[name]["data"])


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_message_is_the_same_after_reading_and_writing(name: str) -> None:
    assert json.loads(to_event(from_event(COMMITTED[f"golden/{name}.json"]))) == GOLDEN[name]


FREE: Final = {"details", "thresholds", "detail"}
"""Members whose own member names are not part of the contract."""


@pytest.mark.parametrize("name", ["decisions/superseding", "decisions/face_between_thresholds", "alerts/attack_rate"])
def test_a_message_without_any_one_member_is_invalid(name: str) -> None:
    for path in json_paths(GOLDEN[name]):
        if path and isinstance(path[-1], str) and not FREE & set(path[:-1]):
            assert not is_valid(without(GOLDEN[name], path)), path


@pytest.mark.parametrize("name", ["decisions/superseding", "decisions/face_between_thresholds", "alerts/attack_rate"])
@pytest.mark.parametrize("wrong", [True, [[]], {"": []}], ids=["boolean", "array", "object"])
def test_a_value_of_a_wrong_type_is_invalid_at_any_place(name: str, wrong: object) -> None:
    for path in json_paths(GOLDEN[name]):
        if path and type(at(GOLDEN[name], path)) is not type(wrong):
            assert not is_valid(with_value(GOLDEN[name], path, wrong)), path


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("specversion",), "0.3"),
        (("id",), "1"),
        (("type",), "faceid.decision.v2"),
        (("source",), "faceid"),
        (("source",), "somebody/default"),
        (("subject",), "with a space"),
        (("subject",), None),
        (("time",), "2023-11-14 23:13:20"),
        (("datacontenttype",), "text/plain"),
        (("dataschema",), "urn:faceid:decision:v2"),
        (("data", "outcome"), "PERHAPS"),
        (("data", "outcome"), "approved"),
        (("data", "reasons"), []),
        (("data", "reasons", 0, "code"), "BECAUSE"),
        (("data", "reasons", 0, "effect"), "APPROVED"),
        (("data", "reasons", 0, "limit"), [64.0]),
        (("data", "reasons", 0, "limit"), [64.0, 69.0, 74.0]),
        (("data", "policy", "digest"), "abc"),
        (("data", "channels"), ["email"]),
        (("data", "revision"), 0),
        (("data", "revision"), 1.5),
        (("data", "supersedes"), "the first"),
        (("data", "liveness", "details", "FACE_NOT_FOUND"), -1),
        (("data", "genuineness", "mask_confidence"), 1.01),
        (("data", "faces", 0, "confidence"), 100.1),
        (("data", "faces", 0, "thresholds", "1e-3"), None),
        (("data", "account"), "a b"),
        (("data", "decided_at"), "2023-11-14T23:13:20Z"),
    ],
)
def test_a_decision_outside_the_contract_is_invalid(path: JsonPath, wrong: object) -> None:
    assert not is_valid(with_value(SUPERSEDING, path, wrong))


@pytest.mark.parametrize(("path", "wrong"), [(("data", "kind"), "weather"), (("subject",), None), (("data", "at"), 0)])
def test_an_alert_outside_the_contract_is_invalid(path: JsonPath, wrong: object) -> None:
    assert not is_valid(with_value(GOLDEN["alerts/attack_rate"], path, wrong))


@pytest.mark.parametrize("name", GOLDEN)
def test_new_members_are_valid_and_ignored(name: str) -> None:
    event = GOLDEN[name]
    for path in [path for path in json_paths(event) if isinstance(at(event, path), dict) and not FREE & set(path)]:
        grown = with_value(event, (*path, "added_later"), {"anything": [1, None]})
        assert is_valid(grown), path
        assert from_event(json.dumps(grown)) == from_event(json.dumps(event))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_page_names_every_member_and_every_outcome_and_effect(name: str) -> None:
    words = set(re.findall(r"\w+", " ".join(re.findall("`([^`]+)`", PAGE.read_text()))))
    schema = json.loads(COMMITTED[f"schemas/{name}.json"])
    objects = [schema, *schema["$defs"].values()]
    assert {member for one in objects for member in one.get("properties", {})} - words == set()
    assert {*Outcome, *Effect} - words == set()
