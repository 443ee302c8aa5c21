"""The product stays small in its parts: short functions, small folders, and imports that never go in a circle."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support.paths import ROOT

PACKAGES = ("ingress", "workers", "console", "shared", "deploy")
MOST_MODULES = 12
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_A_FILE = 300


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def too_large_folders(files: Iterable[Path]) -> dict[str, int]:
    modules = Counter(str(path.parent) for path in files if path.name != "__init__.py")
    return {folder: count for folder, count in modules.items() if count > MOST_MODULES}


def too_long_functions(source: str) -> dict[str, int]:
    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION}


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """The names along one circle of imports; empty when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        return names
    return []


def folder_of(module: str, packages: set[str]) -> str:
    """The package that a module stands in; a package's `__init__` stands in itself."""
    return module if module in packages else module.rpartition(".")[0]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module of the product imports of the product."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_folder_holds_more_than_a_dozen_modules() -> None:
    assert too_large_folders(sources()) == {}


def test_no_function_is_longer_than_forty_lines() -> None:
    found = {str(path.relative_to(ROOT)): too_long_functions(path.read_text()) for path in sources()}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == {}


def test_no_files_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    assert circle(imports) == []


def test_no_folders_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    packages = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in sources()}
    folders = defaultdict[str, set[str]](set)
    for module, imported in imports.items():
        here = folder_of(module, packages)
        folders[here] |= {folder_of(other, packages) for other in imported} - {here}
    assert circle(folders) == []


def test_the_checks_find_what_they_are_for() -> None:
    assert too_large_folders([Path(f"a/m{number}.py") for number in range(MOST_MODULES + 1)]) == {"a": 13}
    assert too_long_functions("def f():\n" + "    x = 1\n" * MOST_LINES_OF_A_FUNCTION) == {"f": 41}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []
    assert folder_of("a.b.c", {"a", "a.b"}) == folder_of("a.b", {"a", "a.b"}) == "a.b"
