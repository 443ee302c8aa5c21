"""The golden messages, their validation against the committed schemas, and changed copies of them."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from deploy.contract.documents import committed

COMMITTED: Final = committed()
GOLDEN: Final[dict[str, Any]] = {
    name.removeprefix("golden/").removesuffix(".json"): json.loads(body)
    for name, body in COMMITTED.items()
    if name.startswith("golden/")
}
JsonPath = tuple[str | int, ...]
"""Keys and indexes from the root of a document to one of its parts."""


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(COMMITTED[f"schemas/{name}.json"]))


def is_valid(event: dict[str, Any]) -> bool:
    """Validate an event by its schema. If it is valid, its data must be valid by the schema of the data."""
    noun = "decision" if event.get("type") == "faceid.decision.v1" else "alert"
    valid: bool = validator(f"{noun}-event.v1").is_valid(event)
    assert not valid or validator(f"{noun}.v1").is_valid(event["data"])
    return valid


def json_paths(part: Any, path: JsonPath = ()) -> Iterator[JsonPath]:
    """The path of each part of a document. The first one is that of the document itself."""
    yield path
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, inner in items:
        yield from json_paths(inner, (*path, key))


def at(document: Any, path: JsonPath) -> Any:
    for key in path:
        document = document[key]
    return document


def with_value(event: dict[str, Any], path: JsonPath, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def without(event: dict[str, Any], path: JsonPath) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    del at(changed, path[:-1])[path[-1]]
    return changed
