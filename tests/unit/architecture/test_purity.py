"""The judging modules know no clock, no chance and no outside world, nor does anything of ours that they import."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

PACKAGES = ("workers", "shared")
PURE_FOLDERS = ("workers/decisioning", "workers/faceid", "shared/events")
IMPURE_IN_THEM = {"workers.faceid.getresult_client", "workers.faceid.concurrency_limiter"}
"""The HTTP client of GetResult and its limiter are the only modules of these folders that do I/O or wait."""


def modules_of(folder: str) -> Iterator[str]:
    for path in sorted((ROOT / folder).glob("[a-z]*.py")):
        yield str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")


PURE = [name for folder in PURE_FOLDERS for name in modules_of(folder) if name not in IMPURE_IN_THEM]
IMPURE_MODULES = frozenset(
    [
        "asyncio",
        "concurrent",
        "fakeredis",
        "http",
        "httpx",
        "io",
        "kombu",
        "os",
        "prometheus_client",
        "pyreqwest",
        "random",
        "redis",
        "requests",
        "secrets",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "uvicorn",
        "uvloop",
    ]
)
ALLOWED_IMPORTS = {"shared.compression": {"threading", "threading.local"}}
"""zstandard's objects can't be shared by threads, so each thread has its own. They keep nothing from text to text."""
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "open", "input", "print", "uuid1", "uuid4", "getenv"})
FILE_LOADER = "workers.decisioning.policy"
"""It may read the one file that it is given."""

pure = pytest.mark.parametrize("module", PURE)


def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, wherever the import stands; `from a import b` is `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def closure(module: str) -> set[str]:
    """The module with all of ours that it needs."""
    known, left = set[str](), [module]
    while left:
        here = left.pop()
        if here not in known:
            known.add(here)
            ours = {name for name in imports(tree_of(here)) if name.partition(".")[0] in PACKAGES}
            left += [name for name in ours if (ROOT / name.replace(".", "/")).with_suffix(".py").exists()]
    return known


def impure(names: Iterator[str]) -> set[str]:
    return {name for name in names if {name, name.partition(".")[0]} & IMPURE_MODULES}


@pure
def test_nothing_impure_is_imported_however_far_away(module: str) -> None:
    found = {name: impure(imports(tree_of(name))) - ALLOWED_IMPORTS.get(name, set()) for name in closure(module)}
    assert {name: imported for name, imported in found.items() if imported} == {}


@pure
def test_nothing_impure_is_called(module: str) -> None:
    assert set(calls(tree_of(module))) & IMPURE_CALLS == set()


@pure
def test_files_are_read_by_the_policy_alone(module: str) -> None:
    assert ("pathlib" in imports(tree_of(module))) == (module == FILE_LOADER)


@pytest.mark.parametrize(
    "code",
    ["import os.path", "from time import time", "def f():\n  import redis.asyncio", "from urllib import request"],
)
def test_the_search_finds_imports_wherever_they_hide(code: str) -> None:
    assert impure(imports(ast.parse(code)))
