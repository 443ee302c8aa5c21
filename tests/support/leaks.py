"""Looking for what must not be seen: values in every spelling that a log, a page or a listing could give them."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from tests.support.planted import USED

SIGN: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])")
"""Whatever looks like a signature: nothing else of ours has forty hex digits."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Where something was found, and in which spelling; never the value itself."""

    trace: str
    needle: str
    spelling: str


def spellings(value: str) -> dict[str, bytes]:
    """The value as it would stand in a text."""
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
        "taken for latin-1": raw.decode("latin-1").encode(),
        "latin-1 in JSON": json.dumps(raw.decode("latin-1"))[1:-1].encode(),
        "hex": raw.hex().encode(),
    }
    found |= {f"base64, shifted by {shift}": _base64(raw, shift) for shift in range(3)}
    return {spelling: text for text, spelling in {text: spelling for spelling, text in found.items()}.items()}


def _base64(raw: bytes, shift: int) -> bytes:
    """What of its base64 does not depend on its neighbours, `shift` bytes into a group of three."""
    coded = base64.b64encode(b"\x00" * shift + raw).rstrip(b"=")
    return coded[(shift * 8 + 5) // 6 : len(coded) - (1 if (len(raw) + shift) % 3 else 0)]


def search(traces: Mapping[str, bytes], needles: Mapping[str, str]) -> Iterator[Leak]:
    """Every needle in every trace."""
    forms = {name: spellings(value) for name, value in needles.items()}
    for trace, text in traces.items():
        for name, ways in forms.items():
            for spelling, wanted in ways.items():
                if wanted in text:
                    yield Leak(trace, name, spelling)
        if SIGN.search(text):
            yield Leak(trace, "something like a sign", "raw")


def in_logs(folder: Path) -> list[Leak]:
    """Secrets and personal data of the tests that are found in the logs of processes below a folder.

    The simulator's own log may contain the demo's api_key: it is made up, and the simulator logs it at start.
    """
    return [
        leak
        for path in folder.rglob("*.log")
        for leak in search({str(path): path.read_bytes()}, USED)
        if (path.name, leak.needle) != ("simulator.log", "the demo's api_key")
    ]
