"""The bytes FaceID puts on the wire. Pure."""

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
    """A request body and the content type that goes with it."""

    content: bytes
    content_type: str


def json_text(document: Mapping[str, object], *, raw_utf8: bool = False) -> str:
    r"""The document as the vendor prints it: `", "`, `": "`, `0.0` kept, non-ASCII as `\uXXXX` unless `raw_utf8`."""
    return json.dumps(document, ensure_ascii=not raw_utf8)


def sign(secret: str, data: str) -> str:
    """Lower-case hex sha1 of the secret followed by the text (official page, Callbacks)."""
    return hashlib.sha1(f"{secret}{data}".encode()).hexdigest()  # noqa: S324 - the vendor's choice, not ours


def signed_fields(secret: str, data: str) -> tuple[Field, Field]:
    """The two fields of a POST callback."""
    return ("data", data), ("sign", sign(secret, data))


def encode_form(fields: Iterable[Field], encoding: Encoding, boundary: str) -> Body:
    """The fields as a request body; the boundary is used for multipart only."""
    if encoding == URLENCODED:
        return Body(urlencode(list(fields)).encode(), URLENCODED)
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    return Body(f"{parts}--{boundary}--\r\n".encode(), f"{MULTIPART}; boundary={boundary}")


def with_biz_id(return_url: str, biz_id: str, *, raw_comma: bool = False) -> str:
    """The target of a GET return: `biz_id` beside the other parameters and before the fragment (official page)."""
    parts = urlsplit(return_url)
    parameter = "biz_id=" + quote(biz_id, safe="," if raw_comma else "")
    query = f"{parts.query}&{parameter}" if parts.query else parameter
    return urlunsplit(parts._replace(query=query))
