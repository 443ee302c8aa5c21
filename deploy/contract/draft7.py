"""A JSON Schema of 2020-12 in the words of draft 7, as far as the two differ in ours."""

from typing import Any, Final

_ELSEWHERE: Final = frozenset({"$schema", "$id", "$comment", "$defs"})
"""What belongs to a document that stands alone."""


def draft7(schema: dict[str, Any], definitions: str) -> dict[str, Any]:
    """The schema as a part of a document that keeps under `definitions` what the schema has in `#/$defs/`."""
    return {
        "items" if key == "prefixItems" else key: _value(key, value, definitions)
        for key, value in schema.items()
        if key not in _ELSEWHERE
    }


def _value(key: str, value: Any, definitions: str) -> Any:
    if key == "$ref":
        return value.replace("#/$defs/", definitions)
    if key == "properties":
        return {name: draft7(part, definitions) for name, part in value.items()}
    if isinstance(value, list):
        return [draft7(part, definitions) if isinstance(part, dict) else part for part in value]
    return draft7(value, definitions) if isinstance(value, dict) else value
