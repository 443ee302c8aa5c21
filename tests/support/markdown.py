"""The pages of the documentation, read as tables, links and names of tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.paths import DOCS, ROOT

PAGES: Final = tuple(
    sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"))),
)
"""Every page, by its path from the root of the project."""
APPENDIX: Final = "Appendix: the tests"
TEST: Final = re.compile(r"`((?:unit|contract|e2e|chaos|bench|fuzz)/[\w/]+\.py)(?:::([\w:]+))?`")
MARKED: Final = re.compile(r"`([^`]+)`")
_CELL_END: Final = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Row:
    """One row of a table, with the heading above the table and the names of its columns."""

    section: str
    columns: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def first(self) -> str:
        """The first cell, without backticks."""
        return self.cells[0].strip("`")

    @property
    def tests(self) -> list[tuple[str, str]]:
        """Every test that the row names: its file, and its name or nothing."""
        return [(file, test) for cell in self.cells for file, test in TEST.findall(cell)]

    @property
    def names(self) -> set[str]:
        """Everything in backticks."""
        return {name for cell in self.cells for name in MARKED.findall(cell)}

    def __getitem__(self, column: str) -> str:
        return self.cells[self.columns.index(column)]


def read(page: str) -> str:
    """The text of a page, by its path from the root of the project."""
    return (ROOT / page).read_text()


def rows(text: str) -> Iterator[Row]:
    """Every row of every table of a page, without the headers."""
    section: str = ""
    columns: tuple[str, ...] = ()
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            columns = ()
        elif not columns:
            columns = _cells(line)
        elif not set(line) <= set("|-: "):
            yield Row(section, columns, _cells(line))


def heading_ids(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Every link that does not lead to the web."""
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def target(page: str, link: str) -> Path:
    """The file that a link of this page leads to."""
    path = link.partition("#")[0]
    return (ROOT / page).parent / path if path else ROOT / page


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in _CELL_END.split(line.strip()[1:-1]))
