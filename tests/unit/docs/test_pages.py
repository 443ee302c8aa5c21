"""Every page of the documentation: its links lead somewhere, and the tests that it names exist."""

import ast
from pathlib import Path

import pytest

from tests.support.markdown import APPENDIX, PAGES, TEST, heading_ids, links, read, rows, target
from tests.support.paths import TESTS


def names_in(file: Path) -> set[str]:
    """The name of every test of a file. The test of a class is named `Class::test`."""
    names = set[str]()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = sorted(set(TEST.findall(read(page))))
    found = {file: names_in(TESTS / file) if (TESTS / file).exists() else None for file in {file for file, _ in named}}
    missing = [(file, test) for file, test in named if (names := found[file]) is None or (test and test not in names)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_row_of_an_appendix_names_a_test(page: str) -> None:
    assert [row.cells for row in rows(read(page)) if row.section == APPENDIX and not row.tests] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    broken = []
    for link in links(read(page)):
        file, heading = target(page, link), link.partition("#")[2]
        if not file.exists() or (heading and heading not in heading_ids(file.read_text())):
            broken.append(link)
    assert broken == []


def test_a_missing_test_and_a_missing_heading_are_noticed() -> None:
    assert names_in(Path(__file__)) >= {"test_every_test_that_a_page_names_exists"}
    assert "names_in" not in names_in(Path(__file__))
    assert heading_ids("# Where the time goes\n## `a`: b, c") == {"where-the-time-goes", "a-b-c"}
