"""For tests that read evidence: a ledger in memory, a clock set by hand, and a GetResult with prepared answers."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from fakeredis import FakeAsyncRedis, FakeServer

from shared.accounts import Account
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger, Limits
from tests.support.payloads import BIZ_ID, ISSUED_AT, SECRET, changed
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import Answer, Answered
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival
from workers.stages.evidence_reader import EvidenceReader, ReadRules

CASE: Final = CaseKey("default", BIZ_ID)
KEY: Final = f"p:case:{{default}}:{BIZ_ID}"
ACCOUNT: Final = Account.model_validate(
    {"name": "default", "api_key": "k", "api_secrets": (SECRET,), "base_url": "http://127.0.0.1"}
)
NEVER_RECONCILED: Final = ACCOUNT.model_copy(update={"reconcile": "never"})


class Clock:
    """Unix seconds; `now` is set by hand."""

    def __init__(self, now: float = ISSUED_AT + 10) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Vendor:
    """GetResult: gives its answers in turn, and repeats the last one. A read waits while `gate` is not set."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.reads: list[str] = []
        self.in_flight = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.during_read: Callable[[], Any] = lambda: None
        """Called during each read; a coroutine is awaited."""

    async def __call__(self, account: Account, biz_id: str) -> Answer:
        assert account is ACCOUNT
        self.reads.append(biz_id)
        self.in_flight += 1
        assert self.in_flight == 1, "one read at a time"
        await self.gate.wait()
        if asyncio.iscoroutine(pending := self.during_read()):
            await pending
        self.in_flight -= 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def new_redis() -> FakeAsyncRedis:
    """An empty Redis in memory."""
    return FakeAsyncRedis(server=FakeServer())


def new_ledger(redis: FakeAsyncRedis) -> Ledger:
    return Ledger(redis, "p", Limits(retention=86_400 * 30.0))


def new_reader(ledger: Ledger, vendor: Vendor, *spacing: float, budget: int = 3, calls: int = 100) -> EvidenceReader:
    """The reader of one worker. `spacing`: seconds between reads, 0 by default; `calls`: at once."""
    limiters = {"default": ConcurrencyLimiter(calls)}
    return EvidenceReader(ledger, vendor, ReadRules(budget, spacing or (0.0,), timeout=10.0), limiters, Clock())


def answered(name: str = "clean-pass", **changes: Any) -> Answered:
    """GetResult's answer: the payload of the vector `name`, changed."""
    return Answered(json.dumps(changed(name, **changes)).encode())


def verified(name: str = "clean-pass", **changes: Any) -> VerifiedArrival:
    """A signed callback as `verify` forwards it."""
    data = json.dumps(changed(name, **changes))
    return VerifiedArrival(BIZ_ID, Payload.from_json(data), data, 0)


def unsigned(biz_id: str = BIZ_ID) -> VerifiedArrival:
    """An unsigned return as `verify` forwards it."""
    return VerifiedArrival(biz_id, None, "", None)
