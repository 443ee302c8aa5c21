"""What form 1 of the pipeline wrote: `tests/vectors/form_v1/README.md` says how it was taken."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis import Redis

from shared.messaging.message import Message
from shared.messaging.topology import queue_name
from tests.support.paths import VECTORS

FOLDER: Final = VECTORS / "form_v1"
CODE: Final = FOLDER / "code.tar.xz"
_QUEUES: Final[Mapping[str, Sequence[Any]]] = json.loads((FOLDER / "queues.json").read_text())
_SETS: Final[Mapping[str, Sequence[Any]]] = json.loads((FOLDER / "message_sets.json").read_text())
_CASES: Final[Mapping[str, Any]] = json.loads((FOLDER / "cases.json").read_text())
WAITS: Final = frozenset({b"next_read_at", b"read_until"})
"""Fields of a case with a time by Redis's clock."""


class Item(NamedTuple):
    """An item of a message set, as it is in Redis."""

    id: str
    score: float
    raw: bytes

    def put(self, redis: "Redis", name: str, prefix: str = "faceid") -> None:
        """Put it into the message set."""
        redis.zadd(f"{prefix}:{name}", {self.id: self.score})
        redis.hset(f"{prefix}:{name}:items", self.id, self.raw)


def entries(queue: str) -> dict[str, dict[bytes, bytes]]:
    """The stream entries of an inner queue, by what they hold."""
    return {
        entry["name"]: {name.encode(): value.encode("latin-1") for name, value in entry["fields"]}
        for entry in _QUEUES[queue]
    }


def messages(queue: str, prefix: str = "faceid") -> dict[str, Message]:
    """The same as messages."""
    return {
        name: Message(
            queue_name(prefix, queue),
            fields[b"body"],
            fields.get(b"content_type", b"").decode(),
            json.loads(fields[b"headers"]),
        )
        for name, fields in entries(queue).items()
    }


def items(message_set: str) -> list[Item]:
    """The items of a message set."""
    return [Item(item["id"], float(item["score"]), item["raw"].encode("latin-1")) for item in _SETS[message_set]]


def cases() -> list[str]:
    """The states of which there is a case."""
    return list(_CASES)


def put_case(redis: "Redis", state: str) -> tuple[str, str]:
    """Put the case in this state into Redis, its waiting times over. Returns its biz_id and the item that goes on."""
    case = _CASES[state]
    fields = {name.encode(): value.encode("latin-1") for name, value in case["fields"].items()}
    redis.hset(case["key"], mapping=fields | {name: b"1" for name in WAITS & fields.keys()})
    owners = (case["fields"].get(role) for role in ("owner", "signed_recheck", "unsigned_recheck"))
    return case["key"].rpartition(":")[2], next(filter(None, owners))
