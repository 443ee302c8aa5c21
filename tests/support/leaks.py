"""Search outputs for confidential values, in every encoding that a log, a page or a listing could use."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from tests.support.planted import CONFIDENTIAL

SIGN: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])")
"""A signature. No other value of the pipeline has 40 hex digits."""
RABBITMQ_LOG: Final = "faceid-*@localhost.log"
"""The log of a RabbitMQ node that tests have started."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a value was found, and in which spelling. It does not contain the value."""

    output: str
    value: str
    """The name of the value."""
    spelling: str


def spellings(value: str) -> dict[str, bytes]:
    """The value in each encoding in which a text could contain it, by the name of the encoding."""
    raw = value.encode()
    escaped = json.dumps(value)[1:-1]
    found = {
        "raw": raw,
        "urlencoded": quote(value, safe="").encode(),
        "urlencoded, slashes kept": quote(value).encode(),
        "form-encoded": quote_plus(value).encode(),
        "JSON": escaped.encode(),
        "JSON in UTF-8": json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        "JSON in JSON": json.dumps(escaped)[1:-1].encode(),
        "repr of bytes": repr(raw)[2:-1].encode(),
        "UTF-8 read as latin-1": raw.decode("latin-1").encode(),
        "latin-1 in JSON": json.dumps(raw.decode("latin-1"))[1:-1].encode(),
        "hex": raw.hex().encode(),
    }
    found |= {f"base64, shifted by {shift}": _base64(raw, shift) for shift in range(3)}
    return {spelling: text for text, spelling in {text: spelling for spelling, text in found.items()}.items()}


def _base64(raw: bytes, shift: int) -> bytes:
    """The base64 of `raw`, `shift` bytes into a group of three. Characters that depend on other bytes are left out."""
    coded = base64.b64encode(b"\x00" * shift + raw).rstrip(b"=")
    return coded[(shift * 8 + 5) // 6 : len(coded) - (1 if (len(raw) + shift) % 3 else 0)]


def search(outputs: Mapping[str, bytes], values: Mapping[str, str]) -> Iterator[Leak]:
    """Search each output for each value, and for signatures. Both are given by name."""
    wanted = {name: spellings(value) for name, value in values.items()}
    for output, text in outputs.items():
        for name, encoded in wanted.items():
            for spelling, found in encoded.items():
                if found in text:
                    yield Leak(output, name, spelling)
        if SIGN.search(text):
            yield Leak(output, "a signature", "raw")


def leaks_in_logs(folder: Path) -> list[Leak]:
    """Search the logs of all processes below a folder for secrets and personal data of the tests.

    The simulator's log may contain the api_key of the demo: the simulator logs this invented key at start. Redis's log
    may contain what looks like a signature: its replication ids have 40 hex digits. RabbitMQ's log is not searched:
    when a process of RabbitMQ crashes, its crash report contains the messages that the process held.
    """
    allowed = {("simulator.log", "the demo's api_key"), ("server.log", "a signature")}
    return [
        leak
        for path in folder.rglob("*.log")
        if not path.match(RABBITMQ_LOG)
        for leak in search({str(path): path.read_bytes()}, CONFIDENTIAL)
        if (path.name, leak.value) not in allowed
    ]
