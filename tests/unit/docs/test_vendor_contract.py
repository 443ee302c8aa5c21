"""The vendor's contract is a page of tables: every row has a test, and every name of the code has a row."""

from collections.abc import Iterator
from typing import Any, Final, get_args, get_type_hints

import pytest
from msgspec import Struct

from deploy.simulator.model.api_errors import HTTP_STATUS
from deploy.simulator.model.faults import Faults, ResultFaultKind
from deploy.simulator.model.scenarios import COUNTERS, SCENARIOS, Procedure
from deploy.simulator.model.token_request import CHOICES, MAX_BYTES, REQUIRED, REQUIRED_TO_COMPARE
from shared.events.alert import AlertKind
from shared.events.decision import Outcome, ReasonCode
from shared.messaging.reasons import DeadReason, UnverifiedReason
from tests.support.markdown import APPENDIX, MARKED, read, rows
from workers.decisioning import policy, rules
from workers.faceid import getresult_client as getresult
from workers.faceid import payload

PAGE: Final = list(rows(read("docs/reference/vendor-contract.md")))
CONTRACT: Final = [row for row in PAGE if row.section != APPENDIX]
TESTED: Final = [row["claim"] for row in PAGE if row.section == APPENDIX]


def test_every_row_has_its_tests_in_the_appendix_and_the_reverse() -> None:
    assert len(CONTRACT) > 150
    assert [f"{row.section}: {row.cells[0]}" for row in CONTRACT] == TESTED


def fields(model: type[Struct], path: str = "") -> Iterator[str]:
    """Dotted paths of all that the payload's model knows."""
    for name, annotation in get_type_hints(model).items():
        inner = next((one for one in models(annotation)), None)
        shown = "result_refN" if name == "refs" else name
        if name != "unreadable":
            yield path + shown
        if inner is not None and inner is not payload.FaceGenuineness:
            yield from fields(inner, f"{path}{shown}.")


def models(annotation: Any) -> Iterator[type[Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


KNOWN: dict[str, set[str]] = {
    "Fields of the payload": set(fields(payload.Payload)),
    "Statuses": {"OK", *payload._OPEN_STATUSES, *rules._FLOW_CODES},
    "Why a browser can't": {one.evidence.fail_reason for one in SCENARIOS.values()} - {""},
    "Procedures and their counters": {*get_args(Procedure), *(name for names in COUNTERS.values() for name in names)},
    "Spoof scores": set(payload.FaceGenuineness.__struct_fields__),
    "Errors of the comparison": set(rules._COMPARISON_CODES),
    "False-accept rates": set(get_args(policy.Rate)),
    "GetResult's refusals": {*getresult.PERMANENT, *getresult.NOT_COUNTED, *HTTP_STATUS},
    "GetToken": {*REQUIRED, *REQUIRED_TO_COMPARE, *MAX_BYTES, *CHOICES},
    "Reasons of a decision": set(ReasonCode),
    "Outcomes": set(Outcome),
    "Alerts": set(AlertKind),
    "Where everything else ends": {*get_args(UnverifiedReason), *get_args(DeadReason)},
    "What the simulator plays": {*SCENARIOS, *Faults.model_fields, *get_args(ResultFaultKind)},
}
"""Every closed set of the code, by the section that has a line for each of its members."""


@pytest.mark.parametrize("section", KNOWN)
def test_every_name_of_the_code_has_a_row(section: str) -> None:
    told = {name for row in CONTRACT if row.section == section for name in row.names}
    assert KNOWN[section] - told == set()


@pytest.mark.parametrize(
    "section",
    ["Reasons of a decision", "Outcomes", "Alerts", "False-accept rates", "Spoof scores", "What the simulator plays"],
)
def test_every_row_is_about_a_name_of_the_code(section: str) -> None:
    first = {name for row in CONTRACT if row.section == section for name in MARKED.findall(row.cells[0])}
    assert first - KNOWN[section] == set()


def test_the_payloads_fields_are_found_however_deep_they_stand() -> None:
    found = KNOWN["Fields of the payload"]
    assert {"biz_info.biz_no", "verify_result.result_refN.thresholds", "liveness_result.face_genuineness"} <= found
    assert "unreadable" not in found
