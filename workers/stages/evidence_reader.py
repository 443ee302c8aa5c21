"""Reading evidence: from the ledger where it is, else by GetResult, each read counted before it is made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger, ReadEnd, ReadPermit
from shared.settings import Account
from workers.decisioning.decision_builder import SPENT
from workers.decisioning.evidence import final_result
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import TOO_MANY, Answer, Answered, Failed, Refused, Unread
from workers.faceid.payload import Callback

log = structlog.get_logger()

GetResultCall = Callable[[Account, str], Awaitable[Answer]]
OUR_FAULT = frozenset({"MISSING_ARGUMENTS", "BAD_ARGUMENTS"})
READ_TIMEOUT_FACTOR = 4
"""A read that has not landed after so many time-outs is taken for dead with its worker."""
UNREAD_REST = 1.0
"""Seconds until a read is tried again that did not get through; the account's breaker makes it more."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result, the raw answer it was read from, and the channels heard from by then, if that was asked."""

    raw: bytes
    result: Callback
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no result to be had, for `code`; the channels as in `Found`."""

    code: str
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotFinal:
    """An answer came and decides nothing: the flow is not finished, or the answer can't be read."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; in `seconds`."""

    seconds: float
    why: str


Reading = Found | Gone | NotFinal | Wait

LATE: Final = Wait(0.0, "late_landing")
"""A worker that slept through its read may have lost the item too, and then must decide nothing. If it has not, the
item comes back at once and finds the answer stored."""


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How GetResult may be read: `budget` reads for a biz_id, `rests` seconds between them, `timeout` seconds each."""

    budget: int
    rests: tuple[float, ...]
    timeout: float


class EvidenceReader:
    """Reads the evidence of a case, at most once at a time over all workers."""

    def __init__(
        self,
        ledger: Ledger,
        get_result: GetResultCall,
        rules: ReadRules,
        limiters: Mapping[str, ConcurrencyLimiter],
        clock: Callable[[], float],
    ) -> None:
        """`limiters`: one for each account."""
        self._ledger = ledger
        self._limiters = limiters
        self._get_result = get_result
        self._rules = rules
        self._clock = clock

    async def read(self, account: Account, case: CaseKey, *, signed: bool) -> Reading:
        """The evidence, or what stands in its way. Only a `signed` arrival may spend the last read."""
        while True:
            async with self._limiters[account.name]:
                reading = await self._try(account, case, signed=signed)
            if reading is not None:
                return reading

    async def _try(self, account: Account, case: CaseKey, *, signed: bool) -> Reading | None:
        """One reservation and what it leads to; None when a read failed, and the next reservation will say the rest."""
        read_id = token_hex(16)
        permit = await self._reserve_read(case, read_id, signed=signed)
        match permit.verdict:
            case "stored":
                return await self._look_into(case, permit.raw)
            case "refused":
                return Gone(permit.code)
            case "spent":
                return Gone(SPENT)
            case "rate_limited":
                return Gone("TOO_MANY_UNSIGNED_READS")
            case "wait":
                return Wait(permit.seconds, permit.code)
            case "go":
                return await self._call_get_result(account, case, read_id)

    async def _reserve_read(self, case: CaseKey, read_id: str, *, signed: bool) -> ReadPermit:
        """Ask again after a lost reply, as the same flight: the read that it granted would be burnt."""
        reserve_read = partial(
            self._ledger.reserve_read,
            case,
            read_id,
            allowed=self._rules.budget if signed else self._rules.budget - 1,
            life=self._rules.timeout * READ_TIMEOUT_FACTOR,
            rests=self._rules.rests,
            unsigned=not signed,
        )
        try:
            return await reserve_read()  # tenacity takes longer than a round trip
        except (RedisConnectionError, RedisTimeoutError):
            return await AsyncRetrying(
                retry=retry_if_exception_type((RedisConnectionError, RedisTimeoutError)),
                wait=wait_random_exponential(multiplier=0.1, max=2.0),
                stop=stop_after_attempt(3),
                reraise=True,
            )(reserve_read)

    async def _call_get_result(self, account: Account, case: CaseKey, read_id: str) -> Reading | None:
        answer = await self._get_result(account, case.biz_id)
        self._adapt(account, answer)
        match answer:
            case Answered(raw):
                heard = await self._finish_read(case, read_id, "answered", raw)
                return LATE if heard is None else await self._look_into(case, raw, heard)
            case Refused(code):
                if code in OUR_FAULT:
                    log.error("getresult.refused", code=code, account=account.name, biz_id=case.biz_id)
                heard = await self._finish_read(case, read_id, "refused", code)
                return LATE if heard is None else Gone(code, heard)
            case Unread(code, retry_after):
                await self._finish_read(case, read_id, "given_back", code)
                return Wait(max(retry_after, UNREAD_REST), code)
            case Failed(code):
                await self._finish_read(case, read_id, "failed", code)
                return None

    def _adapt(self, account: Account, answer: Answer) -> None:
        limiter = self._limiters[account.name]
        if isinstance(answer, Unread) and answer.code == TOO_MANY:
            limiter.too_many()
        elif isinstance(answer, Answered | Refused):
            limiter.went_well()

    async def _look_into(self, case: CaseKey, raw: bytes, channels: tuple[str, ...] = ()) -> Reading:
        """A stored answer: it decides, or it makes room for another read."""
        result = final_result(raw, case.biz_id)
        if result is not None:
            return Found(raw, result, channels)
        await self._ledger.set_aside(case, raw)
        return NotFinal()

    async def _finish_read(
        self, case: CaseKey, read_id: str, how: ReadEnd, value: bytes | str
    ) -> tuple[str, ...] | None:
        """Tell the ledger, however long Redis is away: an answer that was paid for must not be lost."""
        finish_read = partial(self._ledger.finish_read, case, read_id, how, value, self._clock())
        try:
            return await finish_read()
        except RedisError:
            patiently = AsyncRetrying(
                retry=retry_if_exception_type(RedisError), wait=wait_random_exponential(multiplier=0.1, max=2.0)
            )
            return await patiently(finish_read)
