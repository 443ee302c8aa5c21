"""The case ledger: for every biz_id its arrivals, GetResult budget, raw answer and decision.

A case is one Redis hash. Whatever must be true of it over all workers is one Lua script (`lua/`), so a worker may die
between any two lines. Calls made at the same time share a round trip.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from redis.asyncio import Redis

from shared.group_commit import GroupCommit
from shared.ledger.case_key import CaseKey, account_key, biz_no_key, case_key, counter_key, outbox_keys
from shared.ledger.counters import Counted
from shared.ledger.script_batcher import Call, ScriptBatcher
from shared.ledger.superseding import Superseding

LUA = Path(__file__).parent / "lua"
NOTED_ARRIVALS = 64
"""Arrivals kept one by one on a case; more are only counted."""

Verdict = Literal["decided", "joined", "own", "recheck", "rate_limited"]
ReadEnd = Literal["answered", "refused", "given_back", "failed"]


class Arrival(NamedTuple):
    """What the ledger says to an item that arrives: `verdict`, and the channels seen on the case so far.

    `own`: this item takes the case to its decision. `recheck`: it rechecks the open case later; one signed and one
    unsigned item do so. `joined`: another item owns or rechecks the case. `decided`: the decision is published.
    `rate_limited`: too many unsigned returns opened cases this minute; nothing was recorded.
    """

    verdict: Verdict
    channels: tuple[str, ...]


class ReadPermit(NamedTuple):
    """Whether GetResult may be read now.

    `go`: yes, as read number `number`. `stored`: it was, here is the `raw` answer. `refused`: it never will be, for
    `code`. `wait`: not for `seconds`. `spent`: the budget is used up.
    `flooded`: hints have cost enough reads this minute.
    """

    verdict: Literal["go", "stored", "refused", "wait", "spent", "rate_limited"]
    raw: bytes = b""
    code: str = ""
    seconds: float = 0.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the ledger may hold and grant."""

    retention: float
    """Seconds that a case is remembered after its last signed arrival."""
    breaker_rest: float = 15.0
    """Seconds that reading an account pauses when every call fails; more with each failed probe."""
    unsigned_ttl: float = 660.0
    """Seconds that a case is remembered that nothing but hints has come for."""
    unsigned_cases: int = 100_000
    """Cases that hints may open for an account in a minute."""
    unsigned_reads: int = 600
    """Reads that hints may cost an account in a minute."""


class Ledger:
    """Cases in Redis. Every method raises `redis.RedisError` when Redis can't be reached; calling again is safe."""

    def __init__(self, redis: "Redis", prefix: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        """`clock`: unix seconds, by which arrivals and decisions are counted by the minute."""
        self._redis = redis
        self._prefix = prefix
        self._limits = limits
        self._clock = clock
        self._ttl = int(limits.retention * 1000)
        self._outbox = outbox_keys(prefix)
        self._calls: GroupCommit[Call, Any] = GroupCommit(ScriptBatcher(redis, LUA).run)

    def key(self, case: CaseKey) -> str:
        """The case's key in Redis."""
        return case_key(self._prefix, case)

    async def arrive(  # noqa: PLR0913 - an arrival has these facts
        self,
        case: CaseKey,
        item: str,
        channel: str,
        *,
        fingerprint: str,
        data: str,
        biz_no: str,
        received_at: float,
        secret: str,
    ) -> Arrival:
        """Note an arrival; noting it twice counts once.

        Args:
            fingerprint: Of the signed evidence, if it can decide the case; else empty. A second, different one
                raises an `evidence_conflict` alert.
            data: The signed text of that evidence; kept when this item comes to own the case.
            secret: Index of the secret that matched; empty for an unsigned return.
        """
        index = biz_no_key(self._prefix, case.account, biz_no)
        hints = f"{self._prefix}:unsigned_cases:{{{case.account}}}"
        keys = (self.key(case), index, *self._outbox, hints, self._counter_key(case))
        facts = (item, channel, int(bool(fingerprint)), case.biz_id, biz_no, received_at, secret)
        limits = (int(self._limits.unsigned_ttl * 1000), self._limits.unsigned_cases)
        words = (*facts, self._ttl, NOTED_ARRIVALS, fingerprint, case.account, *limits, data)
        verdict, notify, returned = await self._calls.submit(("arrive", keys, words))
        return Arrival(verdict.decode(), _channels(notify, returned))

    async def reserve_read(
        self, case: CaseKey, read_id: str, *, allowed: int, life: float, rests: Sequence[float], unsigned: bool = False
    ) -> ReadPermit:
        """Ask for a read of GetResult, and count it when it is granted.

        `allowed` reads in all; a flight that never lands is over after `life` seconds; `rests` are the seconds after
        read 1, 2, ... before the next one; `unsigned`: nothing signed stands behind it.
        """
        cost = self._limits.unsigned_reads if unsigned else ""
        words = (read_id, allowed, int(life * 1000), cost, *(int(rest * 1000) for rest in rests))
        hints = f"{self._prefix}:unsigned_reads:{{{case.account}}}"
        keys = (self.key(case), account_key(self._prefix, case.account), hints)
        verdict, value, *why = await self._calls.submit(("reserve_read", keys, words))
        match verdict:
            case b"rate_limited":
                return ReadPermit("rate_limited")
            case b"stored":
                return ReadPermit("stored", raw=value)
            case b"refused":
                return ReadPermit("refused", code=value.decode())
            case b"wait":
                return ReadPermit("wait", seconds=value / 1000, code=why[0].decode())
            case b"spent":
                return ReadPermit("spent", number=value)
            case _:
                return ReadPermit("go", number=value)

    async def finish_read(
        self, case: CaseKey, read_id: str, how: ReadEnd, value: bytes | str, now: float
    ) -> tuple[str, ...] | None:
        """End a read: keep its raw answer or its refusal, give it back, or leave it counted. Returns the channels.

        None when the read had been taken for dead, or had landed before: somebody else may have given up the case by
        now. `value`: the raw answer, or the code of what went wrong. Failures in a row open the account's breaker.
        """
        keys = (self.key(case), account_key(self._prefix, case.account), *self._outbox)
        words = (read_id, how, value, now, self._ttl, case.account, int(self._limits.breaker_rest * 1000), case.biz_id)
        notify, returned, counted_on = await self._calls.submit(("finish_read", keys, words))
        return _channels(notify, returned) if counted_on else None

    async def set_aside(self, case: CaseKey, raw: bytes) -> None:
        """Make room for another read: the stored answer decides nothing."""
        await self._calls.submit(("set_aside", (self.key(case),), (raw,)))

    async def commit(
        self, case: CaseKey, decision: bytes, *, attacked: bool = False, provisional: bool = False
    ) -> tuple[bytes, bool]:
        """The decision that stands for the case, this one or an earlier one, and whether it is published already.

        `attacked`: it names an attack. `provisional`: GetResult's answer is missing; when that comes, or has come
        meanwhile, the outbox recalls the case.
        """
        counted: Counted = "attacked" if attacked else "clean"
        keys: Sequence[str] = (self.key(case), self._counter_key(case))
        words: Sequence[bytes | str | int] = (decision, self._ttl, counted)
        if provisional:
            keys, words = (*keys, *self._outbox), (*words, *case)
        current, published = await self._calls.submit(("commit", keys, words))
        return current or decision, bool(published)

    async def supersede(self, case: CaseKey, superseding: Superseding) -> bool:
        """Put a decision in another's place, and into the outbox; False when that one does not stand any more."""
        keys, words = (self.key(case), *self._outbox), superseding.arguments(self._prefix, self._ttl)
        return bool(await self._calls.submit(("supersede", keys, words)))

    def _counter_key(self, case: CaseKey) -> str:
        return counter_key(self._prefix, case.account, self._clock())


_CHANNELS: Final = {
    (False, False): (),
    (True, False): ("notify",),
    (False, True): ("return",),
    (True, True): ("notify", "return"),
}


def _channels(notify: int, returned: int) -> tuple[str, ...]:
    return _CHANNELS[bool(notify), bool(returned)]
