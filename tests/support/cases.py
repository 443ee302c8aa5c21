"""For the tests of what reads evidence: a ledger in memory, a clock to be set, a vendor that answers as it is told."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from fakeredis import FakeAsyncRedis, FakeServer

from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger, Limits
from shared.settings import Account
from tests.support.payloads import BIZ_ID, SECRET, changed
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import Answer, Answered
from workers.faceid.payload import Payload
from workers.faceid.verification import VerifiedArrival
from workers.stages.evidence_reader import EvidenceReader, ReadRules

CASE: Final = CaseKey("default", BIZ_ID)
KEY: Final = f"p:case:{{default}}:{BIZ_ID}"
BORN: Final = 1462259748.0
"""When the token of the vectors was issued."""
ACCOUNT: Final = Account.model_validate(
    {"name": "default", "api_key": "k", "api_secrets": (SECRET,), "base_url": "http://127.0.0.1"}
)
TRUSTING: Final = ACCOUNT.model_copy(update={"reconcile": "never"})


class Clock:
    """Unix seconds, moved by hand."""

    def __init__(self, now: float = BORN + 10) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Vendor:
    """GetResult: answers in turn, the last one for ever; `gate` closed makes it take its time."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.reads: list[str] = []
        self.at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.meanwhile: Callable[[], Any] = lambda: None
        """What happens elsewhere during a read."""

    async def __call__(self, account: Account, biz_id: str) -> Answer:
        assert account is ACCOUNT
        self.reads.append(biz_id)
        self.at_once += 1
        assert self.at_once == 1, "single flight"
        await self.gate.wait()
        if asyncio.iscoroutine(happening := self.meanwhile()):
            await happening
        self.at_once -= 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def new_redis() -> FakeAsyncRedis:
    """A Redis of the test's own."""
    return FakeAsyncRedis(server=FakeServer())


def new_ledger(redis: FakeAsyncRedis) -> Ledger:
    return Ledger(redis, "p", Limits(retention=86_400 * 30.0))


def new_reader(ledger: Ledger, vendor: Vendor, *rests: float, budget: int = 3) -> EvidenceReader:
    """A reader of one worker; `rests` are 0 unless they are given."""
    limiters = {"default": ConcurrencyLimiter(100, lambda: 0.0)}
    return EvidenceReader(ledger, vendor, ReadRules(budget, rests or (0.0,), timeout=10.0), limiters, Clock())


def answered(name: str = "clean-pass", **changes: Any) -> Answered:
    """GetResult's answer: the payload of the vector `name`, changed."""
    return Answered(json.dumps(changed(name, **changes)).encode())


def verified(name: str = "clean-pass", **changes: Any) -> VerifiedArrival:
    """A signed callback as `verify` hands it on."""
    data = json.dumps(changed(name, **changes))
    return VerifiedArrival(BIZ_ID, Payload.from_json(data), data, 0)


def unsigned(biz_id: str = BIZ_ID) -> VerifiedArrival:
    """A GET return as `verify` hands it on."""
    return VerifiedArrival(biz_id, None, "", None)
