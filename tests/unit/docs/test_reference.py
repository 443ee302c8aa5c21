"""The reference pages say what the code says: nothing is missing on a page, and nothing is left from earlier."""

import dataclasses
import importlib
import io
import json
import pkgutil
import re
from typing import Final

import pytest
import structlog
from prometheus_client import REGISTRY
from pydantic import SecretStr

import ingress
import shared
import workers
from console.case.timeline import CaseTimeline, Reads
from console.dead_letters.rendering import summary
from console.doctor.finding import Finding
from console.settings import Row as Setting
from console.status.snapshot import Breaker, Queue, Reader, Results, SetCounts, Status, Worker
from deploy.reference.commands import walk
from deploy.reference.pages import FOLDER, pages
from deploy.simulator.model.settings import SimulatorSettings
from shared import logs
from shared.accounts import Account
from shared.messaging.stored_message import StoredMessage
from tests.support.log_calls import product_log_calls
from tests.support.markdown import Row, rows
from tests.support.redis_keys import product_keys


def names(kind: type) -> set[str]:
    """The fields of a dataclass."""
    return {field.name for field in dataclasses.fields(kind)}


def page(name: str) -> list[Row]:
    return list(rows((FOLDER / f"{name}.md").read_text()))


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_generated_pages_are_what_the_code_says(path: object) -> None:
    wanted = {str(page): text for page, text in pages().items()}[str(path)]
    assert (FOLDER / str(path)).read_text() == wanted, "run `make reference`, look at the difference, commit it"


def test_every_setting_has_a_meaning() -> None:
    settings = [row for row in page("settings") if row.columns[0] == "setting"]
    assert [row.first for row in settings if not row["meaning"]] == []


def test_every_setting_of_the_simulator_is_on_the_page_with_its_default() -> None:
    wanted = {}
    for name, field in SimulatorSettings.model_fields.items():
        default = field.default
        if name == "accounts":
            default = json.dumps({key: secret.get_secret_value() for key, secret in default.items()})
        shown = "-" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        wanted[f"FACEID_SIMULATOR_{name.upper()}"] = shown
    told = {row.first: row["default"] for row in page("settings") if row.section == "The simulator"}
    assert told == wanted


def test_every_key_of_an_account_is_on_the_page() -> None:
    told = {row.first for row in page("settings") if row.section == "Several accounts"}
    assert told == set(Account.model_fields) - {"name"}
    assert isinstance(Account.model_fields["api_key"].default, SecretStr)


def test_every_command_has_its_exit_codes() -> None:
    told = [row.first for row in page("commands") if row.section == "Exit codes" and row.columns[0] == "command"]
    assert sorted(told) == sorted(path for path, _ in walk())


def test_every_json_output_is_on_the_page() -> None:
    headings = [line for line in (FOLDER / "json-outputs.md").read_text().splitlines() if line.startswith("## ")]
    told = {name for heading in headings for name in heading.removeprefix("## ").replace("`", "").split(", ")}
    with_json = {path for path, command in walk() if any("--json" in parameter.opts for parameter in command.params)}
    assert told == {f"{path} --json" for path in with_json}


def test_every_log_event_is_on_the_page_with_its_level_and_fields() -> None:
    events: dict[tuple[str, str], set[str]] = {}
    for call in product_log_calls():
        events.setdefault((call.event, call.level), set()).update(call.fields)
    told = {(row.first, row["level"]): Row("", ("fields",), (row["fields"],)).names for row in page("logs")}
    assert told == events


def test_every_log_line_has_the_fields_that_the_page_names() -> None:
    before, stream = structlog.get_config(), io.StringIO()
    try:
        logs.configure("worker", "info", stream)
        structlog.get_logger().info("worker.started")
    finally:
        structlog.configure(**before)
    text = (FOLDER / "logs.md").read_text().partition("\n## ")[0]
    assert [name for name in json.loads(stream.getvalue()) if f"`{name}`" not in text] == []


def test_every_metric_is_on_the_page_with_its_type_and_labels() -> None:
    for package in (ingress, shared, workers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    metrics = {
        (f"{metric.name}_total" if metric.type == "counter" else metric.name): metric.type
        for metric in REGISTRY.collect()
        if metric.name.startswith("faceid_")
    }
    told = [row for row in page("metrics") if row.columns[0] == "metric"]
    assert {row.first: row["type"] for row in told} == metrics
    labels = {
        name: set(collector._labelnames)
        for name, collector in REGISTRY._names_to_collectors.items()
        if name in metrics and hasattr(collector, "_labelnames")
    }
    assert {row.first: Row("", ("",), (row["labels"],)).names for row in told if row.first in labels} == labels


def test_every_redis_key_is_on_the_page_and_the_reverse() -> None:
    told = {
        name.strip("` ") for row in page("redis-keys") if row.columns[0] == "key" for name in row.cells[0].split(",")
    }
    assert {pattern(key) for key in told} == product_keys()


def pattern(key: str) -> str:
    """A key of the page with `*` for the prefix and for each value: faceid:case:{ACCOUNT}:BIZ_ID is *:case:{*}:*."""
    return re.sub("[A-Z][A-Z_]*", "*", key.replace("faceid", "*", 1))


JSON_KEYS: Final[dict[str, set[str]]] = {
    "faceid status": names(Status) | {"warnings"},
    "faceid status: queues": names(Queue),
    "faceid status: message_sets": names(SetCounts),
    "faceid status: workers": names(Worker),
    "faceid status: breakers": names(Breaker),
    "faceid status: results": names(Results) | names(Reader),
    "faceid settings": names(Setting),
    "faceid doctor": names(Finding),
    "faceid case show": names(CaseTimeline),
    "faceid case show: reads": names(Reads),
    "faceid dead list": set(summary(StoredMessage("1", "verify", "error", "", 0.0), 0.0)),
}
"""The keys of the JSON outputs that the code has as a type, by command, and by key where an object is inside."""


@pytest.mark.parametrize("output", JSON_KEYS)
def test_every_key_of_a_json_output_is_on_the_page_and_the_reverse(output: str) -> None:
    command, _, inside = output.partition(": ")
    told = [row for row in page("json-outputs") if f"`{command} --json`" in row.section]
    if inside:
        (row,) = [row for row in told if row.first == inside]
        assert JSON_KEYS[output] <= Row("", ("meaning",), (row["meaning"],)).names
    else:
        assert {name for row in told for name in Row("", ("key",), (row.cells[0],)).names} == JSON_KEYS[output]
