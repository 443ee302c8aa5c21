"""Signed callbacks of 1,200 bytes, each with its own biz_id: the same for all pipelines."""

import copy
import json
import time
from collections.abc import Iterator
from functools import cache
from hashlib import sha1
from typing import Any, Final
from urllib.parse import quote_plus

from deploy.local.stack import DEMO_SECRET
from shared.messaging.message import Message
from tests.bench.work import FORM
from tests.support.biz_ids import biz_id
from tests.support.load import CALLBACKS
from tests.support.payloads import new_envelope

BODY_BYTES: Final = 1200
_PLACE: Final = biz_id(0)


def body(number: int) -> str:
    """The form body of the n-th case, signed."""
    text, form = _templates()
    case = biz_id(number)
    sign = sha1(f"{DEMO_SECRET}{text.replace(_PLACE, case)}".encode()).hexdigest()
    return f"{form.replace(quote_plus(_PLACE), quote_plus(case))}&sign={sign}"


def bodies(count: int, first: int = 1) -> Iterator[str]:
    """The form bodies of cases `first` and on."""
    return map(body, range(first, first + count))


def stored(queue: str, form: str) -> Message:
    """A callback as the ingress stores it in the queue of this full name."""
    return new_envelope("default", "notify", "POST", form.encode(), FORM, "", time.time()).to_message(queue)


def answer_around() -> tuple[bytes, bytes]:
    """GetResult's answer for any of these cases: the bytes before and after the biz_id."""
    result = _payload() | {"request_id": "1469257550,51848cbe-3ea7-4b03-824a-21425fecad9a", "time_used": 120}
    before, _, after = json.dumps(result).partition(_PLACE)
    return before.encode(), after.encode()


@cache
def _templates() -> tuple[str, str]:
    """The signed text, and the form that contains it."""
    text = json.dumps(_payload())
    return text, f"data={quote_plus(text)}"


@cache
def _payload() -> dict[str, Any]:
    """The evidence of a user who has passed, padded to `BODY_BYTES`."""
    made = copy.deepcopy(CALLBACKS["clean-pass"])
    made["biz_info"] |= {"biz_id": _PLACE, "biz_no": "no-1", "biz_extra_data": ""}
    bare = len("data=") + len(quote_plus(json.dumps(made))) + len("&sign=") + sha1().digest_size * 2
    made["biz_info"]["biz_extra_data"] = "x" * (BODY_BYTES - bare)
    return made
