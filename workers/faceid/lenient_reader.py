"""Read a JSON document into msgspec Structs part by part, as loosely as FaceID writes it.

`msgspec.convert` reads a document whose values all have the declared types. This module reads the others: numbers in
strings, texts that are numbers, and parts of a wrong type or out of range, which it removes.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, TypeVar

from msgspec import Struct, inspect

S = TypeVar("S", bound=Struct)
Path = tuple[str, ...]
Reader = Callable[[Any, Path, list[Path]], Any]
"""Reads one part; gets its path, and the list of the removed paths. Raises `_Invalid` for a part that can't be read."""

_DIGITS: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_MAX_DIGITS: Final = 40
_MAX_COUNT: Final = 1 << 63
"""A counter in a float or a string is smaller than this. One that is an int may be larger."""


class _Invalid(ValueError):
    """A part has a wrong type, or is out of range."""


@cache
def lenient_reader(kind: type[S]) -> Callable[[Any], tuple[S, list[Path]]]:
    """Make a function that reads a document into `kind`, a Struct whose fields are Structs, dicts, texts and numbers.

    The function returns the Struct and the paths of the parts that it has removed, in the order of the fields. The
    document must be a dict. Unknown fields are ignored. A boolean is never a number.
    """
    read = _reader(inspect.type_info(kind))

    def read_document(document: Any) -> tuple[S, list[Path]]:
        removed: list[Path] = []
        return read(document, (), removed), removed

    return read_document


def _reader(kind: inspect.Type) -> Reader:
    """The reader of a declared type. It is made once, because looking at types is slow."""
    match kind:
        case inspect.StructType(cls=struct, fields=fields):
            return partial(_struct, struct, {field.name: _reader(field.type) for field in fields})
        case inspect.DictType(value_type=value_type):
            return partial(_mapping, _reader(value_type))
        case inspect.UnionType(types=types):
            (member,) = (member for member in types if not isinstance(member, inspect.NoneType))
            return partial(_optional, _reader(member))
        case inspect.FloatType(ge=int() | float() as low, le=int() | float() as high):
            return partial(_number, low, high)
        case inspect.IntType(ge=int() as low):
            return partial(_count, low)
        case _:
            return _text


def _optional(read: Reader, value: Any, path: Path, removed: list[Path]) -> Any:
    return None if value is None else read(value, path, removed)


def _text(value: Any, _path: Path, _removed: list[Path]) -> str:
    if type(value) in {int, float}:
        return str(value)
    if not isinstance(value, str):
        raise _Invalid
    return value


def _number(low: float, high: float, value: Any, _path: Path, _removed: list[Path]) -> float:
    if isinstance(value, str) and len(value) <= _MAX_DIGITS and _DIGITS.fullmatch(value):
        value = float(value)
    if type(value) not in {int, float} or not low <= value <= high:
        raise _Invalid
    return float(value)


def _count(low: int, value: Any, path: Path, removed: list[Path]) -> int:
    if type(value) is not int:
        value = _number(low, _MAX_COUNT - 1, value, path, removed)
        if not value.is_integer():
            raise _Invalid
    if value < low:
        raise _Invalid
    return int(value)


def _mapping(read: Reader, value: Any, path: Path, removed: list[Path]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Invalid
    return _parts(value, dict.fromkeys(value, read), path, removed)


def _struct(kind: type[Struct], readers: dict[str, Reader], value: Any, path: Path, removed: list[Path]) -> Struct:
    if not isinstance(value, dict):
        raise _Invalid
    return kind(**_parts(value, readers, path, removed))


def _parts(value: dict[str, Any], readers: dict[str, Reader], path: Path, removed: list[Path]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name, read in readers.items():
        if name in value:
            try:
                parts[name] = read(value[name], (*path, name), removed)
            except _Invalid:
                removed.append((*path, name))
    return parts
