"""Bodies as attackers and broken senders post them. The same seed and number give the same body.

Each body knows the texts that were correctly signed for it. Any other text that is accepted as signed is a forgery.
This check uses none of the product's code.
"""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus, urlencode

from tests.support.biz_ids import biz_id
from tests.support.length_extension import extended, padding
from tests.support.odd_texts import odd_text
from tests.support.payloads import CALLBACKS, FORM

SECRET: Final = "test_api_secret_0001"
BOUNDARY: Final = "----FaceIDFuzz"
MULTIPART: Final = f"multipart/form-data; boundary={BOUNDARY}"
TEXTS: Final = [json.dumps(payload) for payload in CALLBACKS.values()]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request body, and the signed texts in it."""

    number: int
    kind: str
    content_type: str
    body: bytes
    signed: frozenset[bytes]
    """The correctly signed texts; empty when there is none."""
    due: Literal["verified", "refused", "either"] = "either"
    """What must become of it, where its kind decides that."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """A callback as the vendor posts it, unchanged."""

    text: bytes
    sign: str

    @property
    def body(self) -> bytes:
        return urlencode({"data": self.text, "sign": self.sign}).encode()


def sign(secret: str, text: bytes) -> str:
    return hashlib.sha1(secret.encode() + text).hexdigest()


class Attacker:
    """Generates hostile bodies. The same seed and number give the same one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def body(self, number: int) -> Hostile:
        """The n-th body."""
        random = Random(f"{self._seed}:{number}")
        genuine = _genuine(random, number)
        kind = random.choices(list(KINDS), WEIGHTS)[0]
        return KINDS[kind](random, number, kind, genuine)


def _genuine(random: Random, number: int) -> Genuine:
    payload: dict[str, Any] = json.loads(random.choice(TEXTS))
    payload["biz_info"] |= {"biz_id": biz_id(number), "biz_no": f"fuzz-{number}"}
    payload["biz_info"]["biz_extra_data"] = random.choice(["", "100% + é & 张=三", '{"a": 1}', "x" * 300])
    text = json.dumps(payload, ensure_ascii=random.random() < 0.5).encode()
    return Genuine(text, sign(SECRET, text))


def _sound(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """The genuine pair in one of the allowed encodings."""
    quoting = random.choice([quote, quote_plus])
    pairs = [("data", genuine.text), ("sign", genuine.sign.encode())]
    random.shuffle(pairs)
    if random.random() < 0.3:
        return Hostile(number, kind, MULTIPART, _multipart(pairs), frozenset({genuine.text}), due="verified")
    body = urlencode(pairs, quote_via=quoting).encode()
    content_type = random.choice([FORM, FORM, FORM + "; charset=UTF-8", "", "text/plain"])
    return Hostile(number, kind, content_type, body, frozenset({genuine.text}), due="verified")


def _odd(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """A text that the vendor should never send, correctly signed."""
    text = odd_text(random, genuine.text)
    return Hostile(number, kind, FORM, Genuine(text, sign(SECRET, text)).body, frozenset({text}))


def _garbled(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """A genuine body with a few bytes flipped, removed, inserted, doubled or replaced."""
    body, content_type = bytearray(genuine.body), FORM
    if random.random() < 0.3:
        pairs = [("data", genuine.text), ("sign", genuine.sign.encode())]
        body, content_type = bytearray(_multipart(pairs)), MULTIPART
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        _garble(random, body)
    return Hostile(number, kind, content_type, bytes(body), frozenset({genuine.text}))


def _garble(random: Random, body: bytearray) -> None:
    at = random.randrange(len(body) + 1)
    end = min(len(body), at + random.choice([1, 2, 40]))
    match random.randrange(6):
        case 0 if at < len(body):
            body[at] ^= 1 << random.randrange(8)
        case 1:
            del body[at:end]
        case 2:
            body[at:at] = random.choice(TOKENS)
        case 3:
            body[at:at] = body[at:end]
        case 4:
            body[at:end] = random.choice(TOKENS)
        case _:
            body[at:at] = random.randbytes(random.choice([1, 3, 20]))


TOKENS: Final = [
    b"&", b"=", b"%", b"%00", b"%FF", b"+", b";", b"&data=", b"&sign=", b"%2", b"%u0041", b"\x00", b"\r\n", b"\r\n\r\n",
    b"--", f"--{BOUNDARY}".encode(), f"\r\n--{BOUNDARY}--\r\n".encode(), b'; filename="x"', b"\xff\xfe", b"%C0%80",
    b"%7B", b"%22status%22%3A+%22OK%22", b"&data%5B%5D=", b"%26sign%3D", b"&amp;", b"\\x41", b"\\",
]  # fmt: skip


def _doubled(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """A field comes twice: as it was signed, and as the attacker wants it."""
    wish = _wish(genuine.text)
    pairs: list[tuple[str, bytes]] = [("data", genuine.text), ("sign", genuine.sign.encode())]
    name, value = random.choice([("data", wish), ("sign", sign("guess", wish).encode()), ("data", genuine.text)])
    pairs.insert(random.randrange(3), (name, value))
    if random.random() < 0.3:
        return Hostile(number, kind, MULTIPART, _multipart(pairs), frozenset({genuine.text}), due="refused")
    body = urlencode(pairs).encode()
    if random.random() < 0.3:
        body = body.replace(b"data=", b"%64%61ta=", 1)
    return Hostile(number, kind, FORM, body, frozenset({genuine.text}), due="refused")


def _forged(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """The attacker's own text with any signature that an attacker can compute or copy."""
    wish = _wish(genuine.text)
    signature = random.choice(
        [
            genuine.sign, genuine.sign.upper(), "", "0" * 40, sign("", wish), sign("guess", wish),
            hashlib.sha1(wish + SECRET.encode()).hexdigest(), hashlib.md5(SECRET.encode() + wish).hexdigest(),
            hmac.new(SECRET.encode(), wish, "sha1").hexdigest(), hashlib.sha256(SECRET.encode() + wish).hexdigest(),
            sign(SECRET, wish).upper(), f" {sign(SECRET, wish)}", f"{sign(SECRET, wish)}\n", sign(SECRET, wish)[:39],
        ]
    )  # fmt: skip
    return Hostile(number, kind, FORM, Genuine(wish, signature).body, frozenset({genuine.text}), due="refused")


def _extended(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """The genuine text extended, with a valid SHA-1 extension, as it can be made without the secret."""
    length = len(SECRET) + len(genuine.text)
    wish = _wish(genuine.text)
    tail = random.choice([b"", b" ", b"}", b', "status": "OK"}', wish, b"&data=" + quote(wish).encode(), b'"}'])
    text = genuine.text + padding(length) + tail
    pair = Genuine(text, extended(genuine.sign, length, tail))
    if random.random() < 0.3:
        pairs = [("data", pair.text), ("sign", pair.sign.encode())]
        return Hostile(number, kind, MULTIPART, _multipart(pairs), frozenset({genuine.text}), due="refused")
    return Hostile(number, kind, FORM, pair.body, frozenset({genuine.text}), due="refused")


def _recoded(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """The genuine pair in an encoding that is not allowed."""
    body = genuine.body
    recode: Callable[[], bytes] = random.choice(
        [
            lambda: gzip.compress(body, mtime=0),
            lambda: zlib.compress(body),
            lambda: base64.b64encode(body),
            lambda: quote(body).encode(),
            lambda: body.decode().encode("utf-16"),
            lambda: body.replace(b"&", b";"),
            lambda: body.replace(b"%", b"%25"),
            lambda: b"\xef\xbb\xbf" + body,
            lambda: json.dumps({"data": genuine.text.decode(), "sign": genuine.sign}).encode(),
            lambda: b"data=" + genuine.text + b"&sign=" + genuine.sign.encode(),
            lambda: b"x=1&" * random.choice([10, 62, 63, 10_000]) + body,
        ]
    )
    content_type = random.choice([FORM, FORM + "; charset=utf-16", "application/json", MULTIPART, "text/html"])
    return Hostile(number, kind, content_type, recode(), frozenset({genuine.text}))


def _lying(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """Multipart whose headers or boundary are wrong."""
    headers = random.choice(
        [
            "", "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable", "X: y\r\n" * 50,
            "Content-Transfer-Encoding: rot13", "Content-Type: application/json; charset=utf-16", ": ", "A" * 3000,
        ]
    )  # fmt: skip
    pairs = [("data", genuine.text), ("sign", genuine.sign.encode())]
    body = _multipart(pairs, headers)
    end = random.choice([len(body), len(body), len(body) - 4, len(body) // 2, 10])
    boundary = random.choice([BOUNDARY, BOUNDARY, "other", "", "x" * 5000, f'"{BOUNDARY}"', f"{BOUNDARY} ; x"])
    return Hostile(number, kind, f"multipart/form-data; boundary={boundary}", body[:end], frozenset({genuine.text}))


def _random(random: Random, number: int, kind: str, genuine: Genuine) -> Hostile:
    """Random tokens and bytes."""
    parts = [random.choice([random.choice(TOKENS), random.randbytes(30), genuine.text]) for _ in range(8)]
    content_type = random.choice([FORM, MULTIPART, "", ";;;", "multipart/form-data", 'multipart/form-data; boundary="'])
    return Hostile(number, kind, content_type, b"".join(parts) or b"x", frozenset())


def _wish(text: bytes) -> bytes:
    """The text as the attacker wants it."""
    return text.replace(b'"FAIL"', b'"PASS"').replace(b'"CANCELLED"', b'"OK"')[:-1] + b', "wish": 1}'


def _multipart(pairs: list[tuple[str, bytes]], headers: str = "") -> bytes:
    more = f"{headers}\r\n" if headers else ""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n'.encode() + value + b"\r\n"
        for name, value in pairs
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


Make = Callable[[Random, int, str, Genuine], Hostile]
KINDS: Final[dict[str, Make]] = {
    "sound": _sound,
    "odd text, signed": _odd,
    "garbled": _garbled,
    "doubled field": _doubled,
    "forged signature": _forged,
    "length-extended": _extended,
    "odd coding": _recoded,
    "lying multipart": _lying,
    "random": _random,
}
WEIGHTS: Final = (15, 25, 25, 8, 8, 4, 6, 6, 3)
