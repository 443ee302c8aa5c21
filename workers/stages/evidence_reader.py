"""Read the evidence of a case: from the ledger if it is stored there, else from GetResult.

FaceID allows three reads of a result. So a read is counted in the ledger before the call, and the raw answer is stored
before it is parsed. The ledger allows one read of a case at a time, over all workers.
"""

import asyncio
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

from shared.accounts import Account
from shared.item_clock import paused
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger, ReadEnd, ReadPermit
from workers.decisioning.decision_builder import BUDGET_SPENT
from workers.decisioning.evidence import final_result
from workers.faceid.concurrency_limiter import ConcurrencyLimiter
from workers.faceid.getresult_client import (
    CONCURRENCY_LIMIT,
    NO_FILE_DESCRIPTORS,
    Answer,
    Answered,
    Failed,
    Refused,
    Unread,
    Unusable,
)
from workers.faceid.payload import Payload

log = structlog.get_logger()

GetResultCall = Callable[[Account, str], Awaitable[Answer]]
INVALID_REQUEST = frozenset({"MISSING_ARGUMENTS", "BAD_ARGUMENTS"})
"""Refusals that a wrong setting or a fault of this program causes (GetResult's table)."""
READ_TIMEOUT_FACTOR = 4
"""A read without an answer after this many timeouts has died with its worker: another read is allowed."""
LONGEST_BUSY_WAIT = 1.0
"""Seconds that a read waits here for the end of the account's common pause; it is a delayed message for longer ones."""
UNREAD_RETRY_SECONDS = 1.0
"""Before a call that did not count is repeated. The account's circuit breaker adds to it when calls keep failing."""


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """GetResult's final answer."""

    raw: bytes
    """As it came."""
    result: Payload
    channels: tuple[str, ...] = ()
    """The channels on which the case has had arrivals by the end of the read; empty when there was no read."""


@dataclass(frozen=True, slots=True)
class EvidenceUnavailable:
    """No read will bring a result. `code` says why."""

    code: str
    channels: tuple[str, ...] = ()
    """As in `EvidenceFound`."""


@dataclass(frozen=True, slots=True)
class NotFinal:
    """GetResult answered, but the flow has not ended or the answer can't be read. It may be read again."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """No answer now. Read again in `seconds`."""

    seconds: float
    why: str


Reading = EvidenceFound | EvidenceUnavailable | NotFinal | RetryLater

READ_TAKEN_OVER: Final = RetryLater(0.0, "late_answer")
"""The answer came after the ledger had given up this read, so another worker may own the message by now. This one must
not decide. If it still owns the message, the retry finds the answer stored."""


@dataclass(frozen=True, slots=True)
class ReadRules:
    """How GetResult may be read."""

    budget: int
    """Reads of one biz_id."""
    spacing: tuple[float, ...]
    """Seconds between read 1 and 2, 2 and 3, ...; the last one holds for all later ones."""
    timeout: float
    """Seconds of one call."""


class EvidenceReader:
    """Reads the evidence of a case; one read of a case at a time, over all workers."""

    def __init__(
        self,
        ledger: Ledger,
        get_result: GetResultCall,
        rules: ReadRules,
        limiters: Mapping[str, ConcurrencyLimiter],
        clock: Callable[[], float],
    ) -> None:
        """`limiters`: by account. `clock`: unix seconds."""
        self._ledger = ledger
        self._limiters = limiters
        self._get_result = get_result
        self._rules = rules
        self._clock = clock

    async def read(self, account: Account, case: CaseKey, *, signed: bool) -> Reading:
        """Read the evidence of a case.

        Args:
            account: Whose GetResult is called.
            case: The case to read.
            signed: Whether a signed callback asks. Only then may the last read of the budget be used.

        Raises:
            redis.RedisError: The ledger can't be asked. GetResult has not been called.
        """
        while True:
            reading = await self._read_once(account, case, signed=signed)
            if reading is not None:
                return reading

    async def _read_once(self, account: Account, case: CaseKey, *, signed: bool) -> Reading | None:
        """Ask the ledger once, and read if it allows. None after a failed read: the ledger then says what follows.

        The place in the limiter is free when the answer is there: others call while this one is stored and parsed.
        """
        read_id = token_hex(16)
        async with self._limiters[account.name] as generation:  # a read's time counts from its reservation on
            permit = await self._reserve_with_patience(case, read_id, signed=signed)
            answer = await self._call_get_result(account, case, generation) if permit.verdict == "go" else None
        if answer is not None:
            return await self._interpret_answer(account, case, read_id, answer)
        return await self._without_call(case, permit)

    async def _reserve_with_patience(self, case: CaseKey, read_id: str, *, signed: bool) -> ReadPermit:
        """Ask the ledger for a read, and once more after a short pause of the account."""
        permit = await self._reserve_read(case, read_id, signed=signed)
        if permit.code == "vendor_busy" and permit.seconds <= LONGEST_BUSY_WAIT:
            with paused():  # it keeps its place, so that the other items don't ask
                await asyncio.sleep(permit.seconds)
            permit = await self._reserve_read(case, read_id, signed=signed)
        return permit

    async def _without_call(self, case: CaseKey, permit: ReadPermit) -> Reading:
        """What the ledger says when it allows no call."""
        match permit.verdict:
            case "stored":
                return await self._parse_answer(case, permit.raw)
            case "refused":
                return EvidenceUnavailable(permit.code)
            case "spent":
                return EvidenceUnavailable(BUDGET_SPENT)
            case "rate_limited":
                return EvidenceUnavailable("TOO_MANY_UNSIGNED_READS")
            case _:
                return RetryLater(permit.seconds, permit.code)

    async def _reserve_read(self, case: CaseKey, read_id: str, *, signed: bool) -> ReadPermit:
        """Ask the ledger for a read. If its reply is lost, ask again with the same `read_id`, which counts once."""
        reserve_read = partial(
            self._ledger.reserve_read,
            case,
            read_id,
            allowed=self._rules.budget if signed else self._rules.budget - 1,
            read_timeout=self._rules.timeout * READ_TIMEOUT_FACTOR,
            spacing=self._rules.spacing,
            unsigned=not signed,
        )
        try:
            return await reserve_read()  # without tenacity, which takes longer than a round trip
        except (RedisConnectionError, RedisTimeoutError):
            return await AsyncRetrying(
                retry=retry_if_exception_type((RedisConnectionError, RedisTimeoutError)),
                wait=wait_random_exponential(multiplier=0.1, max=2.0),
                stop=stop_after_attempt(3),
                reraise=True,
            )(reserve_read)

    async def _call_get_result(self, account: Account, case: CaseKey, generation: int) -> Answer:
        answer = await self._get_result(account, case.biz_id)
        self._adjust_limiter(account, answer, generation)
        return answer

    async def _interpret_answer(self, account: Account, case: CaseKey, read_id: str, answer: Answer) -> Reading | None:
        """Store what the call brought. None after a failed read."""
        match answer:
            case Answered(raw):
                channels = await self._finish_read(case, read_id, "answered", raw)
                return READ_TAKEN_OVER if channels is None else await self._parse_answer(case, raw, channels)
            case Refused(code):
                if code in INVALID_REQUEST:
                    log.error("getresult.refused", code=code, account=account.name, biz_id=case.biz_id)
                channels = await self._finish_read(case, read_id, "refused", code)
                return READ_TAKEN_OVER if channels is None else EvidenceUnavailable(code, channels)
            case Unusable(code):
                log.warning("getresult.unusable", code=code, account=account.name, biz_id=case.biz_id)
                channels = await self._finish_read(case, read_id, "unusable", code)
                return READ_TAKEN_OVER if channels is None else EvidenceUnavailable(code, channels)
            case Unread(code, retry_after):
                if code == NO_FILE_DESCRIPTORS:
                    log.error("getresult.not_sent", code=code, account=account.name, biz_id=case.biz_id)
                await self._finish_read(case, read_id, "given_back", code)
                return RetryLater(max(retry_after, UNREAD_RETRY_SECONDS), code)
            case Failed(code):
                await self._finish_read(case, read_id, "failed", code)
                return None

    def _adjust_limiter(self, account: Account, answer: Answer, generation: int) -> None:
        limiter = self._limiters[account.name]
        if isinstance(answer, Unread) and answer.code == CONCURRENCY_LIMIT:
            limiter.on_limit_exceeded(generation)
        elif isinstance(answer, Answered | Refused | Unusable):
            limiter.on_success()

    async def _parse_answer(self, case: CaseKey, raw: bytes, channels: tuple[str, ...] = ()) -> Reading:
        """Parse a stored answer. If it is not final, set it aside in the ledger, which allows another read."""
        result = final_result(raw, case.biz_id)
        if result is not None:
            return EvidenceFound(raw, result, channels)
        await self._ledger.set_aside(case, raw)
        return NotFinal()

    async def _finish_read(
        self, case: CaseKey, read_id: str, how: ReadEnd, value: bytes | str
    ) -> tuple[str, ...] | None:
        """Record the end of a read; returns the case's channels, or None when the ledger had given up the read.

        It is tried until Redis is back: an answer that used up a read must not be lost.
        """
        finish_read = partial(self._ledger.finish_read, case, read_id, how, value, self._clock())
        try:
            return await finish_read()
        except RedisError:
            until_recorded = AsyncRetrying(
                retry=retry_if_exception_type(RedisError), wait=wait_random_exponential(multiplier=0.1, max=2.0)
            )
            with paused():
                return await until_recorded(finish_read)
