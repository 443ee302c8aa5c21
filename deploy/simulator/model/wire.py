"""The bytes that FaceID sends: JSON text, signature, form bodies and return URLs. No I/O."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

Field = tuple[str, str]
Encoding = Literal["application/x-www-form-urlencoded", "multipart/form-data"]

URLENCODED: Encoding = "application/x-www-form-urlencoded"
MULTIPART: Encoding = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body and its content type."""

    content: bytes
    content_type: str


def json_text(document: Mapping[str, object], *, raw_utf8: bool = False) -> str:
    r"""The document as the vendor writes it: separators `", "` and `": "`, `0.0` stays, non-ASCII as `\uXXXX`.

    `raw_utf8`: non-ASCII as UTF-8. The format is that of a real callback of 2016.
    """
    return json.dumps(document, ensure_ascii=not raw_utf8)


def sign(secret: str, data: str) -> str:
    """The signature: SHA-1 of the secret followed by the text, in lower-case hex (official callback page)."""
    return hashlib.sha1(f"{secret}{data}".encode()).hexdigest()  # noqa: S324 - the vendor's scheme


def signed_fields(secret: str, data: str) -> tuple[Field, Field]:
    """The form fields `data` and `sign` of a callback."""
    return ("data", data), ("sign", sign(secret, data))


def encode_form(fields: Iterable[Field], encoding: Encoding, boundary: str) -> Body:
    """Encode form fields as a request body. `boundary`: for multipart only."""
    if encoding == URLENCODED:
        return Body(urlencode(list(fields)).encode(), URLENCODED)
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    return Body(f"{parts}--{boundary}--\r\n".encode(), f"{MULTIPART}; boundary={boundary}")


def with_biz_id(return_url: str, biz_id: str, *, raw_comma: bool = False) -> str:
    """The URL of a GET return: `biz_id` is added to the query (official callback page).

    `raw_comma`: write the comma of the biz_id as `,` instead of `%2C`.
    """
    parts = urlsplit(return_url)
    parameter = "biz_id=" + quote(biz_id, safe="," if raw_comma else "")
    query = f"{parts.query}&{parameter}" if parts.query else parameter
    return urlunsplit(parts._replace(query=query))
