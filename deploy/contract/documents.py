"""Make and write the documents of the contract in `docs/contract/`."""

import json
from pathlib import Path
from typing import Any, Final

from deploy.contract.asyncapi import asyncapi
from deploy.contract.golden import golden
from deploy.contract.schemas import SCHEMAS, schema

FOLDER: Final = Path(__file__).parents[2] / "docs/contract"


def documents() -> dict[str, bytes]:
    """The documents by their path in `FOLDER`. The same code gives the same bytes."""
    messages = golden()
    return {
        **{f"schemas/{name}.json": _json(schema(name)) for name in SCHEMAS},
        "asyncapi.json": _json(asyncapi(messages)),
        **{f"golden/{name}.json": message for name, message in messages.items()},
    }


def committed() -> dict[str, bytes]:
    """The documents that are in `FOLDER` now."""
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*.json")}


def write() -> None:
    """Write the documents to `FOLDER`, and delete other JSON files there."""
    wanted = documents()
    for stale in committed().keys() - wanted.keys():
        (FOLDER / stale).unlink()
    for name, content in wanted.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
