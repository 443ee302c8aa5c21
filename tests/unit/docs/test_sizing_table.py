"""The table that says how much memory to give Redis, computed again from the bytes of a callback."""

from typing import Final

import pytest

from shared.ledger.memory_costs import CASE, DECIDED, RESULT
from shared.settings import Settings
from tests.support.markdown import Row, rows
from tests.support.paths import DOCS

UNITS: Final = {"mb": 2**20, "gb": 2**30}
PAGE: Final = (DOCS / "how-to" / "operating.md").read_text()
TABLE: Final = [row for row in rows(PAGE) if row.columns[0] == "`maxmemory`"]


def test_the_page_has_a_table() -> None:
    assert len(TABLE) >= 4


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.first)
def test_a_row_follows_from_the_bytes_of_a_callback(row: Row) -> None:
    usable = int(Settings(_env_file=None).max_memory_share * int(row.first[:-2]) * UNITS[row.first[-2:]])
    waiting, cases = usable // DECIDED, usable // CASE
    assert row.cells[1:] == (f"{waiting:,}", f"{cases:,}", f"{cases // 30:,}")


def test_the_page_names_the_bytes() -> None:
    assert f"{CASE:,} bytes for a decided case" in PAGE
    assert f"{RESULT:,} for a result" in PAGE
