"""`python -m tests.fuzz.payload_readers`: compares the payload reader with the one before it.

Both read the same mutated payloads. They must refuse the same texts, read the same values of the same types, name the
same unreadable parts, and give the same fingerprint.
"""

import argparse
import copy
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, structs

from tests.support import pydantic_payload
from tests.support.payloads import CALLBACKS
from workers.decisioning.evidence import fingerprint
from workers.faceid import payload
from workers.faceid.odd_json import NotJson
from workers.faceid.strict_json import NotStrictJson

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 5, 5.0, 5.5, 81, 100, 100.1, 0.5, 1e16, 1e22, 9e15, 1e308, 1 << 62, 1 << 63, 1 << 70,
    1e19, -0.0, 1e-7, "", "0", "1", "1.0", "5", "5.0", "5.5", "1e3", "007", "+1", " 1", "1.", ".5", "１", "1_0", "nan",
    "inf", "-1", "1e400", "1" * 40, "1" * 41, "OK", "FAIL", "PASS", "CANCELLED", "PROCESSING", "NO_FACE_FOUND",
    "x" * 80,
    "\u0000", "é", [], [1], {}, {"a": 1}, {"confidence": "50", "thresholds": {"1e-3": "x", "1e-4": 5}},
)  # fmt: skip
KEYS: Final = (
    "refs", "result_ref01", "result_ref7", "result_ref12x", "result_ref10", "VIDEO_FORMAT_UNSUPPORTED",
    "VIDOE_FORMAT_UNSUPPORTED", "unreadable", "biz_id", "biz_no", "biz_info", "details", "face_genuineness",
    "multifaces_tag", "status", "verify_result", "liveness_result", "error_message", "verify_time", "time_used",
)  # fmt: skip
TOKENS: Final = (b"1" * 40, b"1" * 41, b"1e400", b"-1e308", b"0." + b"3" * 39, b"1E+5", b"NaN", b"-0", b'"\\ud800"')


def mutated(number: int, seed: int) -> bytes:
    """One mutated payload. The same number and seed give the same one."""
    choose = random.Random(f"{seed}:{number}")
    document = copy.deepcopy(CALLBACKS[choose.choice(list(CALLBACKS))])
    for _ in range(choose.choice((1, 1, 2, 3, 6))):
        _mutate(document, choose)
    text = json.dumps(document, ensure_ascii=choose.random() < 0.5).encode("utf-8", "surrogatepass")
    return _mutate_text(text, choose) if choose.random() < 0.4 else text


def _mutate(document: dict[str, Any], choose: random.Random) -> None:
    places = list(_objects(document))
    place = choose.choice(places)
    names = [*place, choose.choice(KEYS)]
    match choose.randrange(4):
        case 0:
            place.pop(choose.choice(names), None)
        case 1:
            place[choose.choice(KEYS)] = copy.deepcopy(choose.choice((*VALUES, choose.choice(places))))
        case _:
            place[choose.choice(names)] = copy.deepcopy(choose.choice(VALUES))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)


def _mutate_text(text: bytes, choose: random.Random) -> bytes:
    """Double a key, write another number, or change a byte."""
    keys, numbers = list(re.finditer(rb'"[A-Za-z_0-9-]+"\s*:', text)), list(re.finditer(rb"(?<=: )-?\d[\d.]*", text))
    match choose.randrange(3):
        case 0 if keys:
            key = choose.choice(keys)
            value = json.dumps(choose.choice(VALUES)).encode()
            return text[: key.start()] + key[0] + value + b", " + text[key.start() :]
        case 1 if numbers:
            number = choose.choice(numbers)
            return text[: number.start()] + choose.choice(TOKENS) + text[number.end() :]
        case _:
            place = choose.randrange(len(text))
            return text[:place] + bytes([choose.randrange(256)]) + text[place + 1 :]


def compare(text: bytes) -> str:
    """What both readers find: `read`, `removed`, or why they refuse the text. Raises AssertionError if they differ."""
    answers = text.decode("utf-8", "replace")
    for biz_id in ("1,asked", _biz_id(text)):
        old, new = _answer(pydantic_payload.Payload, answers, biz_id), _answer(payload.Payload, answers, biz_id)
        assert _plain(old) == _plain(new), text
    old, new = _callback(pydantic_payload.Payload, text), _callback(payload.Payload, text)
    assert _plain(old) == _plain(new), text
    if isinstance(new, str):
        return new
    assert fingerprint(old) == fingerprint(new), text
    return "removed" if new.unreadable else "read"


def _callback(reader: Any, text: bytes) -> Any:
    try:
        return reader.from_json(text)
    except (NotStrictJson, payload.InvalidPayload, pydantic_payload.InvalidPayload) as error:
        return f"{type(error).__name__}: {error}"


def _answer(reader: Any, text: str, biz_id: str) -> Any:
    try:
        return reader.from_answer(text, biz_id)
    except (NotJson, payload.InvalidPayload, pydantic_payload.InvalidPayload) as error:
        return f"{type(error).__name__}: {error}"


def _biz_id(text: bytes) -> str:
    found = re.search(rb'"biz_id": "([\x21-\x7e]+?)"', text)
    return found[1].decode() if found else "1,none"


def _plain(value: Any) -> Any:
    """Values, types and order of the declared fields."""
    if isinstance(value, Struct):
        return [(name, _plain(part)) for name, part in structs.asdict(value).items()]
    if isinstance(value, pydantic_payload._Model):
        return [(name, _plain(getattr(value, name))) for name in type(value).model_fields]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}, list(value)
    return repr(value)


def run(texts: int, seed: int) -> Counter[str]:
    """Compare the readers on so many texts. Returns how often each result came."""
    return Counter(compare(mutated(number, seed)).partition(":")[0] for number in range(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"{given.texts:,} texts through both readers, seed {given.seed}", flush=True)
    print(*(f"{count:>9,}  {result}" for result, count in run(given.texts, given.seed).most_common()), sep="\n")
    print("0 differences")


if __name__ == "__main__":
    main()
