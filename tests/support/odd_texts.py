"""Texts that the vendor should never send: they could break a parser or a rule of the classifier."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

ODD_VALUES: Final[list[Any]] = [
    None, True, False, 0, -1, 1e308, -1e-308, 10**39, 0.1, "", "0", "-1", "1e999", "NaN", " 69", "69,0", "x" * 1000,
    "张三", "\x00", "\u202e", [], {}, [[]], [1, "2", None], {"": ""}, {"biz_id": "1"}, "null", "OK", "PASS",
]  # fmt: skip
ODD_NUMBERS: Final = [
    b"1" * 41, b"1" * 20_000, b"1e400", b"-1e400", b"1e-400", b"0" * 50, b"1" + b"0" * 39, b"NaN", b"Infinity",
    b"-Infinity", b"-0", b"01", b"1.", b".5", b"0x10", b"1e+0000000000000000000000000000000000000001", b"1_0",
]  # fmt: skip
TAILS: Final = [b" ", b"\n", b"x", b"}", b"{}", b"\x00", b"\x80", b",", b"//", b"\xef\xbb\xbf", b"null", b"\xc2\xa0"]
HEADS: Final = [b" ", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"[", b")]}'\n", b"\x0c"]


def odd_text(random: Random, text: bytes) -> bytes:
    """The text with one odd change of its meaning or its bytes."""
    return random.choice(WAYS)(random, text)


def _changed(random: Random, text: bytes) -> bytes:
    """Change the type of some values, or remove or rename them. The text stays valid JSON."""
    document = json.loads(text)
    for _ in range(random.choice([1, 1, 2, 5])):
        part = _some_part(random, document)
        key = random.choice(list(part)) if part else ""
        match random.randrange(4):
            case 0 if key:
                del part[key]
            case 1:
                part[random.choice(["status", "result", "refs", "unreadable", "result_ref9", "new", ""])] = 1
            case _:
                part[key] = copy.deepcopy(random.choice(ODD_VALUES))
    return json.dumps(document, ensure_ascii=random.random() < 0.5).encode()


def _some_part(random: Random, part: dict[str, Any]) -> dict[str, Any]:
    while random.random() < 0.6:
        inner = [value for value in part.values() if isinstance(value, dict)]
        if not inner:
            break
        part = random.choice(inner)
    return part


def _doubled_key(random: Random, text: bytes) -> bytes:
    again = random.choice([b'"status": "OK"', b'"st\\u0061tus": "OK"', b'"biz_info": {"biz_id": "1,x"}'])
    return text[:-1] + b", " + again + b"}"


def _deep(random: Random, text: bytes) -> bytes:
    depth = random.choice([28, 30, 31, 32, 33, 200, 2_000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    core = b"0" if opening != b"[" else b""
    return text[:-1] + b', "deep": ' + opening * depth + core + closing * depth + b"}"


def _odd_number(random: Random, text: bytes) -> bytes:
    number = random.choice(ODD_NUMBERS)
    return text[:-1] + b', "' + random.choice([b"time_used", b"new"]) + b'": ' + number + b"}"


def _tailed(random: Random, text: bytes) -> bytes:
    return text + random.choice(TAILS) if random.random() < 0.6 else random.choice(HEADS) + text


def _garbled(random: Random, text: bytes) -> bytes:
    found = bytearray(text)
    for _ in range(random.choice([1, 2, 8])):
        at = random.randrange(len(found))
        found[at] = random.choice([random.randrange(256), ord(random.choice('{}[]:,"\\0'))])
    return bytes(found)


def _odd_string(random: Random, text: bytes) -> bytes:
    odd = random.choice([b"\\ud800", b"\\u0000", b"\\x41", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\n", b"\\", b"\\/"])
    return text[:-1] + b', "new": "' + odd + b'"}'


def _large(random: Random, text: bytes) -> bytes:
    many = random.choice([100, 1_000])
    kind = random.choice([b"[" + b"0," * many + b"0]", b'"' + b"\\u0041" * many + b'"', b"{" + _members(many) + b"}"])
    return text[:-1] + b', "large": ' + kind + b"}"


def _members(many: int) -> bytes:
    return b",".join(b'"k%d":%d' % (number, number) for number in range(many))


def _other_document(random: Random, text: bytes) -> bytes:
    return random.choice([b"", b"{}", b"[]", b"null", b'"OK"', b"1", b"[" + text + b"]", text + text, text[:-1]])


Way = Callable[[Random, bytes], bytes]
WAYS: Final[tuple[Way, ...]] = (
    _changed, _changed, _changed, _doubled_key, _deep, _odd_number, _tailed, _garbled, _odd_string, _large,
    _other_document,
)  # fmt: skip
