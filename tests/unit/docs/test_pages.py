"""Every page of the documentation: its links lead somewhere, and the tests that it names exist."""

import ast
import re
import textwrap
from pathlib import Path
from typing import Final

import pytest

from tests.support.markdown import APPENDIX, PAGES, TEST, heading_ids, links, read, rows, target
from tests.support.paths import DOCS, ROOT, TESTS

KINDS: Final = {"tutorials", "how-to", "reference", "explanation"}


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
def test_tests_are_named_only_in_the_appendix_and_with_their_file(page: str) -> None:
    text, _, appendix = read(page).partition(f"## {APPENDIX}")
    assert re.findall(r"\.py::\w+|`test_\w+`", text) == []
    assert re.findall(r"`test_\w+`", appendix) == []


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


def test_every_page_is_of_one_of_four_kinds_and_stands_in_the_index() -> None:
    folders = {path.relative_to(DOCS).parts[0] for path in DOCS.rglob("*.md") if path.parent != DOCS}
    assert folders == KINDS
    indexed = {target("docs/README.md", link).resolve() for link in links(read("docs/README.md"))}
    assert {path for path in DOCS.rglob("*.md") if path.name != "README.md"} - indexed == set()


def test_the_readme_and_the_guide_for_contributors_lead_to_the_glossary() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        assert ROOT / "docs/glossary.md" in {target(page, link) for link in links(read(page))}


def test_a_missing_test_and_a_missing_heading_are_noticed() -> None:
    assert names_in(Path(__file__)) >= {"test_every_test_that_a_page_names_exists"}
    assert "names_in" not in names_in(Path(__file__))
    assert heading_ids("# Where the time goes\n## `a`: b, c") == {"where-the-time-goes", "a-b-c"}


def test_the_tutorial_shows_the_example_that_the_tests_run() -> None:
    code = textwrap.indent((DOCS / "examples/ours.py").read_text(), "    ")
    assert code in read("docs/tutorials/first-consumer.md")
