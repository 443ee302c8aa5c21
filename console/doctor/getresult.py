"""Call GetResult with an invented biz_id: how FaceID refuses it tells whether key, secret and URL are right."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from console.doctor.finding import Finding
from shared.accounts import Account
from workers.faceid.getresult_client import (
    Answer,
    Answered,
    Failed,
    GetResultClient,
    Refused,
    Unread,
    Unusable,
)

AT_ONCE: Final = 8
_URL: Final = "Fix FACEID_BASE_URL, or base_url of the account: it ends before /get_result."
_UNREAD: Final = {
    "AUTHENTICATION_ERROR": (
        "FaceID knows no such key and secret",
        "Fix FACEID_API_KEY and the first of FACEID_API_SECRETS, or api_key and api_secrets of the account.",
    ),
    "AUTHORIZATION_ERROR": ("the key may not call GetResult", "Ask FaceID for the permission, or for more quota."),
    "API_NOT_FOUND": ("there is no GetResult at the URL", _URL),
    "NO_FILE_DESCRIPTORS": ("this process may open no more files", "Raise the limit of open files (ulimit -n)."),
    "NO_CONNECTION": ("nothing answers at the URL", f"{_URL} Check the network, too."),
}


def call_all(accounts: Mapping[str, Account], seconds: float) -> dict[str, Answer]:
    """GetResult's answers, by account. Never raises. `seconds`: time-out of one call."""
    return asyncio.run(_call_all(accounts, seconds))


async def _call_all(accounts: Mapping[str, Account], seconds: float) -> dict[str, Answer]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def call(client: GetResultClient, account: Account) -> Answer:
        async with limit:
            return await client.read(account, f"{time.time():.0f},{uuid4()}")

    async with GetResultClient(seconds, AT_ONCE) as client:
        answers = await asyncio.gather(*(call(client, account) for account in accounts.values()))
    return dict(zip(accounts, answers, strict=True))


def judge(account: str, answer: Answer) -> Finding:
    """What the answer to an invented biz_id says about the account's key, secret and URL."""
    name = f"GetResult of {account}"
    match answer:
        case Refused(code):
            return Finding(name, "ok", f"key, secret and URL are right ({code} for an invented biz_id)")
        case Unread(code) if code in _UNREAD:
            found, hint = _UNREAD[code]
            return Finding(name, "fail", f"{found} ({code})", hint)
        case Unread(code):
            return Finding(name, "warn", f"FaceID did not answer this time ({code})", "Try again later.")
        case Answered() | Unusable():
            return Finding(name, "fail", "it returned a result for an invented biz_id, so it is not FaceID", _URL)
        case Failed(code):
            return Finding(name, "fail", f"the call failed ({code})", f"{_URL} If it is right, try again later.")
