"""Genuine sessions at a fixed rate, and FaceID's GetResult for them. An open loop: a slow answer delays no session."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs
from uuid import UUID

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from starlette.types import Receive, Scope, Send

from tests.support.biz_ids import biz_id
from tests.support.load import CALLBACKS, bodies

ACCEPTED: Final = frozenset({"200", "303"})
FORM: Final = "application/x-www-form-urlencoded"


async def get_result(scope: Scope, _: Receive, send: Send) -> None:
    """Answer GetResult: a result for a genuine session, RESULT_NOT_FOUND for an invented biz_id. An ASGI app."""
    (asked,) = parse_qs(scope["query_string"].decode())["biz_id"]
    number = UUID(asked.partition(",")[2]).int % 2**64
    known = asked == biz_id(number)
    result = CALLBACKS["clean-pass"] | {"biz_info": {"biz_id": asked, "biz_no": f"no-{number}"}}
    content = json.dumps(result if known else {"error_message": "RESULT_NOT_FOUND"}).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200 if known else 400, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@dataclass
class Genuine:
    """Sessions whose callbacks are posted to the ingress at `url`, and how they were answered."""

    url: str
    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """From sending a callback to its answer."""
    sessions: int = 0

    async def run(self, rate: float, seconds: float) -> None:
        """Start `rate` sessions a second. Returns when the last callback is answered."""
        began = time.monotonic()
        async with new_client() as http, asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(began + number / rate - time.monotonic())
                self.sessions += 1
                group.create_task(self._callback(http, number, "notify"))
                group.create_task(self._callback(http, number, "return"))

    async def _callback(self, http: Client, number: int, channel: str) -> None:
        """Send one callback. Every second return is a GET, as with `action_http_method=GET`."""
        url, began = f"{self.url}/callbacks/default/{channel}", time.monotonic()
        if channel == "return" and number % 2:
            request = http.get(url).query({"biz_id": biz_id(number)})
        else:
            request = http.post(url).header("content-type", FORM).body_bytes(bodies(1, first=number)[0])
        try:
            answer = str((await request.build().send()).status)
        except PyreqwestError as error:
            answer = type(error).__name__
        self.seconds.append(time.monotonic() - began)
        self.answers[answer] += 1

    @property
    def refused(self) -> int:
        """Callbacks that were not answered 2xx or redirected."""
        return sum(count for answer, count in self.answers.items() if answer not in ACCEPTED)

    def biz_ids(self) -> set[str]:
        """The ids of all sessions."""
        return set(map(biz_id, range(self.sessions)))


def new_client() -> Client:
    """A client that opens a connection for each request: FaceID and every browser are somebody else."""
    return ClientBuilder().no_proxy().follow_redirects(False).pool_max_idle_per_host(0).build()
