"""The vendor's contract is a table in the docs: every line has a test, and nothing that the code knows lacks a line."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from deploy.simulator.model.faults import Faults, ResultFaultKind
from deploy.simulator.model.refusals import HTTP_STATUS
from deploy.simulator.model.scenarios import COUNTERS, SCENARIOS, Procedure
from deploy.simulator.model.token_request import CHOICES, MAX_BYTES, REQUIRED, REQUIRED_TO_COMPARE
from shared.events.alert import AlertKind
from shared.events.decision import Outcome, ReasonCode
from tests.support.paths import DOCS, TESTS
from workers.decisioning import policy, rules
from workers.faceid import getresult_client as getresult
from workers.faceid import payload as callback
from workers.runtime import stage_result

NAMED: Final = re.compile(r"`((?:unit|contract|e2e|chaos|bench|fuzz)/[\w/]+\.py)::([\w:]+)`")
MARKED: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Line:
    """One line of a table: its section, its cells, and the tests in the last of them."""

    section: str
    cells: tuple[str, ...]

    @property
    def tests(self) -> list[tuple[str, str]]:
        return NAMED.findall(self.cells[-1])

    @property
    def names(self) -> set[str]:
        """What stands in backticks before the tests."""
        return {name for cell in self.cells[:-1] for name in MARKED.findall(cell)}


def lines(page: str) -> Iterator[Line]:
    section, above = "", ""
    for text in (DOCS / page).read_text().splitlines():
        if text.startswith("#"):
            section = text.lstrip("# ")
        if text.startswith("| ") and above.startswith("|"):
            yield Line(section, tuple(cell.strip() for cell in text.strip("| ").split(" | ")))
        above = text


CONTRACT: Final = list(lines("vendor-contract.md"))


def names_in(file: Path) -> set[str]:
    """Every test of a file by its name, those of a class behind the class's."""
    names = set[str]()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


def test_every_line_has_a_test() -> None:
    assert len(CONTRACT) > 150
    assert [line.cells[0] for line in CONTRACT if not line.tests] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_test_that_the_docs_name_exists(page: str) -> None:
    named = sorted(set(NAMED.findall((DOCS / page).read_text())))
    found = {file: names_in(TESTS / file) if (TESTS / file).exists() else set() for file in {file for file, _ in named}}
    assert [f"{file}::{test}" for file, test in named if test not in found[file]] == []


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Dotted paths of all that the payload's model knows."""
    for name, field in model.model_fields.items():
        inner = next((one for one in models(field.annotation)), None)
        shown = "result_refN" if name == "refs" else name
        if name != "unreadable":
            yield path + shown
        if inner is not None and inner is not callback.FaceGenuineness:
            yield from fields(inner, f"{path}{shown}.")


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


KNOWN: dict[str, set[str]] = {
    "Fields of the payload": set(fields(callback.Callback)),
    "Statuses": {"OK", *callback._UNDER_WAY, *rules._ENDED},
    "Why a browser can't": {one.evidence.fail_reason for one in SCENARIOS.values()} - {""},
    "Procedures and their counters": {*get_args(Procedure), *(name for names in COUNTERS.values() for name in names)},
    "Spoof scores": set(callback.FaceGenuineness.model_fields),
    "Errors of the comparison": set(rules._ERRORS),
    "False-accept rates": set(get_args(policy.Rate)),
    "GetResult's refusals": {*getresult.FINAL, *getresult.UNREAD, *HTTP_STATUS},
    "GetToken": {*REQUIRED, *REQUIRED_TO_COMPARE, *MAX_BYTES, *CHOICES},
    "Reasons of a decision": set(ReasonCode),
    "Outcomes": set(Outcome),
    "Alerts": set(AlertKind),
    "Where everything else ends": {*get_args(stage_result.UnverifiedReason), *get_args(stage_result.DeadReason)},
    "What the simulator plays": {*SCENARIOS, *Faults.model_fields, *get_args(ResultFaultKind)},
}
"""Every closed set of the code, by the section that has a line for each of its members."""


@pytest.mark.parametrize("section", KNOWN)
def test_nothing_that_the_code_knows_lacks_a_line(section: str) -> None:
    told = {name for line in CONTRACT if line.section == section for name in line.names}
    assert KNOWN[section] - told == set()


@pytest.mark.parametrize(
    "section",
    ["Reasons of a decision", "Outcomes", "Alerts", "False-accept rates", "Spoof scores", "What the simulator plays"],
)
def test_no_line_tells_of_what_the_code_does_not_know(section: str) -> None:
    first = {name for line in CONTRACT if line.section == section for name in MARKED.findall(line.cells[0])}
    assert first - KNOWN[section] == set()


def test_the_payloads_fields_are_found_however_deep_they_stand() -> None:
    found = KNOWN["Fields of the payload"]
    assert {"biz_info.biz_no", "verify_result.result_refN.thresholds", "liveness_result.face_genuineness"} <= found
    assert "unreadable" not in found


def test_a_line_without_a_test_and_a_name_without_a_line_are_noticed() -> None:
    line = Line("Alerts", ("`breaker_opened`", "when", "some day"))
    assert line.tests == []
    assert line.names == {"breaker_opened"}
    assert names_in(Path(__file__)) >= {"test_every_line_has_a_test"}
    assert "names_in" not in names_in(Path(__file__))
