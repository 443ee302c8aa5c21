"""The page on alerts tells of every kind and every limit."""

import re

from shared.events.alert import AlertKind
from shared.settings import ENV_PREFIX, Settings
from tests.support.paths import DOCS

PAGE = (DOCS / "alerts.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")]
KINDS = {row[0].strip("` "): row for row in ROWS if len(row) == 6}
LIMITS = {row[0].strip("` "): row for row in ROWS if len(row) == 3}


def test_every_alert_has_a_line_with_all_that_its_reader_needs() -> None:
    assert set(KINDS) == set(AlertKind)
    assert [kind for kind, row in KINDS.items() if not all(row)] == []


def test_every_alert_is_shown_by_a_test() -> None:
    assert [kind for kind, row in KINDS.items() if not re.search(r"test_\w+\.py::test_\w+", row[-1])] == []


def test_every_limit_has_a_line_with_its_default() -> None:
    settings = {
        f"{ENV_PREFIX}{name.upper()}": f"{field.default:g}"
        for name, field in Settings.model_fields.items()
        if name.startswith("alert_")
    }
    assert {name: row[1] for name, row in LIMITS.items()} == settings


def test_every_limit_is_named_where_it_decides() -> None:
    named = set(re.findall(r"FACEID_ALERT_\w+", " ".join(row[2] for row in KINDS.values())))
    assert set(LIMITS) - named == {"FACEID_ALERT_WINDOW_SECONDS"}, "which is `the window`"
