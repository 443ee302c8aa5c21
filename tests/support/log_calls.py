"""Every log event of the product, found in its source: the event's name, its level and its fields."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.paths import ROOT

PRODUCT: Final = ("ingress", "workers", "console", "shared", "deploy/local", "deploy/simulator")
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")
LOGGERS: Final = {"log", "_log", "logger", "_logger"}


@dataclass(frozen=True)
class LogCall:
    """One call of a logger. `exception` is the level error, with the fields error and where."""

    event: str
    level: str
    fields: frozenset[str]


def product_log_calls() -> set[LogCall]:
    """Every log call of the product."""
    files = [file for folder in PRODUCT for file in sorted((ROOT / folder).rglob("*.py"))]
    return {call for file in files for call in log_calls(file)}


def log_calls(file: Path) -> Iterator[LogCall]:
    """Every log call of one file. Raises ValueError for one whose event is not constant."""
    tree = ast.parse(file.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        names = _assigned(function)
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
            for method in _methods(call.func, names):
                yield from _events(call, method, names, file)


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """What is assigned to each local name."""
    names: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            names.setdefault(node.targets[0].id, []).extend(values)
    return names


def _methods(function: ast.expr, names: dict[str, list[ast.expr]]) -> Iterator[ast.Attribute]:
    """The methods of a logger that a called expression may be."""
    for expression in names.get(function.id, []) if isinstance(function, ast.Name) else [function]:
        if isinstance(expression, ast.Attribute) and expression.attr in LEVELS and _is_logger(expression.value):
            yield expression


def _is_logger(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "bind":
        value = value.func.value
    return isinstance(value, ast.Name) and value.id in LOGGERS


def _events(call: ast.Call, method: ast.Attribute, names: dict[str, list[ast.expr]], file: Path) -> Iterator[LogCall]:
    first = call.args[0]
    texts = names.get(first.id, []) if isinstance(first, ast.Name) else [first]
    bound = method.value.keywords if isinstance(method.value, ast.Call) else []
    fields = {keyword.arg for keyword in (*call.keywords, *bound) if keyword.arg}
    if method.attr == "exception" or "exc_info" in fields:
        fields = fields - {"exc_info"} | {"error", "where"}
    for text in texts:
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            raise TypeError(f"{file}:{call.lineno}: the event is not constant")
        yield LogCall(text.value, "error" if method.attr == "exception" else method.attr, frozenset(fields))
