"""The tests are laid out as the product is, and share code by `tests/support` alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT, TESTS

MIRRORED = ("ingress", "workers", "console", "shared", "deploy")
TOOLS = {"tests.bench", "tests.chaos", "tests.fuzz"}
"""Programs of their own, which `tests/unit/tooling` and a few guards test."""
GUARDS = {"tests/contract/test_costs.py", "tests/contract/test_memory_costs.py"}


def files_of_tests() -> Iterator[Path]:
    yield from (path for path in sorted(TESTS.rglob("*.py")) if "node_modules" not in path.parts)


def imported_from_tests(source: str) -> set[str]:
    """The folders of `tests` that a file imports from: `tests.chaos` for `from tests.chaos.plan import plan`."""
    modules = (node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return {".".join(module.split(".")[:2]) for module in modules if module and module.startswith("tests.")}


def test_unit_tests_stand_where_their_subject_does() -> None:
    folders = {path.parent.relative_to(TESTS / "unit") for path in (TESTS / "unit").rglob("test_*.py")}
    mirrored = {folder for folder in folders if folder.parts[:1] and folder.parts[0] in MIRRORED}
    assert mirrored
    assert {str(folder) for folder in mirrored if not (ROOT / folder).is_dir()} == set()


def test_folders_of_tests_share_code_by_tests_support_alone() -> None:
    found = {}
    for path in files_of_tests():
        place = str(path.relative_to(ROOT))
        own = {".".join(path.relative_to(ROOT).parts[:2]), "tests.support"}
        allowed = own | (TOOLS if place.startswith("tests/unit/tooling/") or place in GUARDS else set())
        if foreign := imported_from_tests(path.read_text()) - allowed:
            found[place] = foreign
    assert found == {}


def test_helpers_that_files_share_import_no_test() -> None:
    found = {path.name: imported_from_tests(path.read_text()) for path in (TESTS / "support").glob("*.py")}
    assert {name: folders for name, folders in found.items() if folders - {"tests.support"}} == {}


def test_the_checks_find_what_they_are_for() -> None:
    assert imported_from_tests("from tests.chaos.plan import plan\nfrom tests.support import npm") == {
        "tests.chaos",
        "tests.support",
    }
