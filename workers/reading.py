"""Reading evidence: from the ledger where it is, else by GetResult, each read counted before it is made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from shared.ledger import CaseKey, Landing, Ledger
from shared.settings import Account
from workers.callback import Callback, NotACallback, is_final
from workers.getresult import Answer, Answered, Failed, Refused, Unread
from workers.strict_json import NotStrictJson

FLIGHT_LIVES = 4
"""A read that has not landed after so many time-outs is taken for dead with its worker."""
OUTAGE_REST = 15.0
"""Seconds until an account is tried again whose reads cost nothing because none gets through."""


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
        get_result: Callable[[Account, str], Awaitable[Answer]],
        rules: ReadRules,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._get_result = get_result
        self._rules = rules
        self._clock = clock

    async def read(self, account: Account, case: CaseKey, *, signed: bool) -> Reading:
        """The evidence, or what stands in its way. Only a `signed` arrival may spend the last read."""
        flight = uuid4().hex
        reservation = await self._ledger.reserve(
            case,
            flight,
            allowed=self._rules.budget if signed else self._rules.budget - 1,
            life=self._rules.timeout * FLIGHT_LIVES,
            rests=self._rules.rests,
        )
        match reservation.verdict:
            case "stored":
                return await self._look_into(case, reservation.raw)
            case "refused":
                return Gone(reservation.code)
            case "spent":
                return Gone("BUDGET_SPENT")
            case "wait":
                return Wait(reservation.seconds, "read_rest")
            case "go":
                return await self._fly(account, case, flight, signed=signed)

    async def _fly(self, account: Account, case: CaseKey, flight: str, *, signed: bool) -> Reading:
        match await self._get_result(account, case.biz_id):
            case Answered(raw):
                return await self._look_into(case, raw, await self._land(case, flight, "answered", raw))
            case Refused(code):
                return Gone(code, await self._land(case, flight, "refused", code))
            case Unread(code, retry_after):
                await self._land(case, flight, "given_back", code)
                return Wait(max(retry_after, OUTAGE_REST), code)
            case Failed(code):
                await self._land(case, flight, "failed", code)
                return await self.read(account, case, signed=signed)  # spent, or a rest before the next one

    async def _look_into(self, case: CaseKey, raw: bytes, channels: tuple[str, ...] = ()) -> Reading:
        """A stored answer: it decides, or it makes room for another read."""
        try:
            result = Callback.from_json(raw, biz_id=case.biz_id)
        except (NotStrictJson, NotACallback):
            result = None
        if result is not None and result.biz_id == case.biz_id and result.status and is_final(result.status):
            return Found(raw, result, channels)
        await self._ledger.set_aside(case, raw)
        return NotFinal()

    async def _land(self, case: CaseKey, flight: str, how: Landing, value: bytes | str) -> tuple[str, ...]:
        """Tell the ledger, however long Redis is away: an answer that was paid for must not be lost."""
        patiently = AsyncRetrying(
            retry=retry_if_exception_type(RedisError), wait=wait_random_exponential(multiplier=0.1, max=2.0)
        )
        return await patiently(self._ledger.land, case, flight, how, value, self._clock())
