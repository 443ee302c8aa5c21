"""One word for one thing: words that the glossary has replaced are names of nothing any more."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import DOCS, ROOT

REPLACED: Final = {
    "shelf": "message set",
    "shelves": "message sets",
    "parked": "stored",
    "gist": "fingerprint",
    "flights": "reads",
    "landing": "the end of a read",
    "reservation": "permit",
    "reservations": "permits",
    "carrier": "owner",
    "looker": "unsigned recheck",
    "hinted": "unsigned",
    "suspect": "redelivered message",
    "suspects": "poison guard",
    "acquit": "clear",
    "acquitted": "cleared",
    "trial": "probation",
    "trials": "probation",
    "outlet": "publisher",
    "outlets": "publishers",
    "inlet": "consumer",
    "elsewhere": "on another server",
    "chore": "maintenance",
    "chores": "maintenance",
    "fleet": "supervisor",
    "recall": "stored evidence",
    "recalled": "stored evidence",
    "tally": "counters",
    "tallies": "counters",
    "garbage": "GC tuning",
    "amiss": "warnings",
    "todo": "hint",
    "departure": "action",
    "departures": "actions",
    "guest": "user",
    "guests": "users",
    "strike": "injected fault",
    "strikes": "injected faults",
    "stranger": "third party",
    "strangers": "third parties",
    "mend": "fix",
    "mended": "fixed",
}
"""What must not be part of a name, and the word that is used instead (docs/glossary.md)."""
PROSE: Final = REPLACED.keys() - {"elsewhere"}
"""The same for prose, where a few of them are plain English too."""
RENAMED: Final = {"Post": "Message", "Later": "Delay", "Trouble": "CommandError", "Away": "BrokerUnavailable"}
"""Whole names that are gone."""
STRINGS: Final = re.compile(r"faceid:later|\blater:items\b|silent_seconds|\"rests\"|\"held\"|\"shelves\"")
"""Keys in Redis and in `--json` that are gone."""
HERE: Final = Path(__file__)
WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def words(name: str) -> set[str]:
    """`read_id` and `ReadPermit` hold `read`."""
    return {word.lower() for word in WORD.findall(name)}


def replaced_in(name: str) -> set[str]:
    return ({name} & RENAMED.keys()) | (words(name) & REPLACED.keys())


def names_in(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.string


def replaced_in_code(source: str) -> set[str]:
    return {name for name in names_in(source) if replaced_in(name)}


def replaced_in_prose(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) & PROSE


def code() -> Iterator[Path]:
    for folder in ("ingress", "workers", "console", "shared", "deploy", "tests", "docs"):
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if path != HERE)


def pages() -> list[Path]:
    """All but the changelog, which names what was replaced."""
    return [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_no_file_is_named_by_a_replaced_word() -> None:
    assert {path.name: found for path in code() if (found := replaced_in(path.stem))} == {}


def test_no_name_in_the_code_is_a_replaced_word() -> None:
    found = {str(path.relative_to(ROOT)): replaced_in_code(path.read_text()) for path in code()}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_key_that_is_gone_is_spelt_in_the_code() -> None:
    assert [str(path) for path in code() if STRINGS.search(path.read_text())] == []


def test_no_script_uses_a_replaced_word() -> None:
    scripts = sorted((ROOT / "shared").rglob("*.lua"))
    assert scripts
    assert {path.name: found for path in scripts if (found := replaced_in_prose(path.read_text()))} == {}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_page_uses_a_replaced_word(page: Path) -> None:
    assert replaced_in_prose(page.read_text()) == set()


def test_the_checks_find_what_they_are_for() -> None:
    assert replaced_in_code("the_shelf = 1\ndef f(): return parked_items") == {"the_shelf", "parked_items"}
    assert replaced_in_code("class Post: pass") == {"Post"}
    assert replaced_in_code("POST = posted(message_set)") == set()
    assert replaced_in_prose("An item on a shelf.") == {"shelf"}
