"""Convert a JSON Schema of 2020-12 to draft 7, as far as our schemas need it."""

from typing import Any, Final

_ROOT_KEYWORDS: Final = frozenset({"$schema", "$id", "$comment", "$defs"})
"""Keywords that only a standalone schema has."""


def draft7(schema: dict[str, Any], definitions: str) -> dict[str, Any]:
    """Convert a schema. References to `#/$defs/` become references to `definitions`."""
    return {
        "items" if key == "prefixItems" else key: _value(key, value, definitions)
        for key, value in schema.items()
        if key not in _ROOT_KEYWORDS
    }


def _value(key: str, value: Any, definitions: str) -> Any:
    if key == "$ref":
        return value.replace("#/$defs/", definitions)
    if key == "properties":
        return {name: draft7(part, definitions) for name, part in value.items()}
    if isinstance(value, list):
        return [draft7(part, definitions) if isinstance(part, dict) else part for part in value]
    return draft7(value, definitions) if isinstance(value, dict) else value
