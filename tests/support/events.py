"""The golden messages, the committed schemas' judgement, and events changed somewhere."""

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
Way = tuple[str | int, ...]


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(COMMITTED[f"schemas/{name}.json"]))


def is_valid(event: dict[str, Any]) -> bool:
    """By the schema of the event, and by that of its data: the two have to agree."""
    noun = "decision" if event.get("type") == "faceid.decision.v1" else "alert"
    valid: bool = validator(f"{noun}-event.v1").is_valid(event)
    assert not valid or validator(f"{noun}.v1").is_valid(event["data"])
    return valid


def ways(part: Any, way: Way = ()) -> Iterator[Way]:
    """The way to each part of a document, itself first."""
    yield way
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, inner in items:
        yield from ways(inner, (*way, key))


def at(document: Any, way: Way) -> Any:
    for key in way:
        document = document[key]
    return document


def with_value(event: dict[str, Any], way: Way, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    at(changed, way[:-1])[way[-1]] = value
    return changed


def without(event: dict[str, Any], way: Way) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    del at(changed, way[:-1])[way[-1]]
    return changed
