"""The page on alerts has a row for every kind and every limit."""

import re
from typing import Final

from shared.events.alert import AlertKind
from shared.settings import ENV_PREFIX, Settings
from tests.support.markdown import APPENDIX, read, rows

ROWS: Final = list(rows(read("docs/how-to/alerts.md")))
KINDS: Final = {row.first: row for row in ROWS if row.columns[0] == "kind"}
LIMITS: Final = {row.first: row for row in ROWS if row.columns[0] == "setting"}
TESTED: Final = [row.first for row in ROWS if row.section == APPENDIX]


def test_every_alert_has_a_row_with_all_that_its_reader_needs() -> None:
    assert set(KINDS) == set(AlertKind)
    assert [kind for kind, row in KINDS.items() if not all(row.cells)] == []


def test_every_alert_is_shown_by_a_test() -> None:
    assert set(KINDS) - set(TESTED) == set()


def test_every_limit_has_a_row_with_its_default() -> None:
    settings = {
        f"{ENV_PREFIX}{name.upper()}": f"{field.default:g}"
        for name, field in Settings.model_fields.items()
        if name.startswith("alert_")
    }
    assert {name: row["default"] for name, row in LIMITS.items()} == settings


def test_every_limit_is_named_where_it_decides() -> None:
    named = set(re.findall(r"FACEID_ALERT_\w+", " ".join(row["when"] for row in KINDS.values())))
    assert set(LIMITS) - named == {"FACEID_ALERT_WINDOW_SECONDS"}, "which is `the window`"
