"""The case ledger: for every biz_id its arrivals, GetResult budget, raw answer and decision.

A case is one Redis hash. Each change that must be atomic over all workers is one Lua script (`lua/`), so a worker may
crash between any two calls. Calls that are made at the same time share a round trip.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from redis.asyncio import Redis

from shared.compression import compress, decompress
from shared.group_commit import GroupCommit
from shared.ledger.case_fields import split_texts
from shared.ledger.case_key import CaseKey, account_key, biz_no_key, case_key, counter_key, message_set_keys
from shared.ledger.counters import Counted
from shared.ledger.script_batcher import Call, ScriptBatcher
from shared.ledger.scripts import FOLDER, SHARED_FUNCTIONS
from shared.ledger.superseding import Superseding

MAX_RECORDED_ARRIVALS = 64
"""Arrivals recorded one by one on a case. Further ones are only counted."""
MAX_SIGNED_TEXTS = 16
MAX_SIGNED_BYTES = 262_144
"""Signed texts that are stored for a case, in number and in bytes as stored. Of further ones only the fact is stored
that they exist. A case that has some is never approved."""

LONGEST_PAUSE_FACTOR: Final = 20
"""The circuit breaker's longest pause is so many times its shortest one."""
OWNED: Final = 2
"""The state that `lua/commit.lua` returns when another item owns the undecided case."""

Verdict = Literal["decided", "joined", "own", "recheck", "rate_limited"]
ReadEnd = Literal["answered", "refused", "unusable", "given_back", "failed"]


class Arrival(NamedTuple):
    """The result of `Ledger.arrive`: a verdict, and the channels on which callbacks of the case have arrived.

    `own`: this item judges all signed evidence of the case. `recheck`: it rechecks the open case later; one signed and
    one unsigned item do so. `joined`: another item owns or rechecks the case. `decided`: the decision is published.
    `rate_limited`: too many unsigned returns opened cases this minute; nothing was recorded.
    """

    verdict: Verdict
    channels: tuple[str, ...]
    texts: tuple[str, ...] = ()
    """For the owner: the different signed texts of the case, oldest first. Empty when its own is the only one."""
    unseen: bool = False
    """For the owner: whether other signed evidence of the case differs and is not stored."""


class ReadPermit(NamedTuple):
    """The result of `Ledger.reserve_read`: whether GetResult may be read now.

    `go`: yes; this is read number `number`. `stored`: it was read already, `raw` is the answer. `refused`: no read will
    bring a result, because of `code`. `wait`: not for `seconds`, because of `code`. `spent`: the budget of `number`
    reads is used up. `rate_limited`: unsigned returns have cost their number of reads this minute.
    """

    verdict: Literal["go", "stored", "refused", "wait", "spent", "rate_limited"]
    raw: bytes = b""
    code: str = ""
    seconds: float = 0.0
    number: int = 0


class Committed(NamedTuple):
    """The result of `Ledger.commit`: the decision in force."""

    decision: bytes
    """JSON."""
    published: bool
    stored: bytes
    """`decision` as it is stored in the ledger, byte for byte."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times and rates of the ledger. They come from the settings."""

    retention: float
    """Seconds that a case is kept after its last signed arrival."""
    breaker_pause: float = 15.0
    """Seconds that an account is not read after its circuit breaker opened. Doubled with each failed probe."""
    unsigned_ttl: float = 660.0
    """Seconds that a case is kept for which only unsigned returns have arrived."""
    unsigned_cases: int = 100_000
    """Cases that unsigned returns may open in an account per minute."""
    unsigned_reads: int = 600
    """Reads of GetResult that unsigned returns may cost an account per minute."""


class Ledger:
    """The cases in Redis. Every method raises `redis.RedisError` when Redis fails. Calling it again is safe."""

    def __init__(self, redis: "Redis", prefix: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns Unix seconds. It chooses the minute in which an arrival or a decision is counted."""
        self._redis = redis
        self._prefix = prefix
        self._limits = limits
        self._clock = clock
        self._ttl = int(limits.retention * 1000)
        self._outbox = message_set_keys(prefix, "outbox")
        self._calls: GroupCommit[Call, Any] = GroupCommit(ScriptBatcher(redis, FOLDER, SHARED_FUNCTIONS).run)

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
        """Record the arrival of an item. Recording it again changes nothing.

        Args:
            item: Id of the item.
            channel: `notify` or `return`.
            fingerprint: Fingerprint of the signed evidence, or empty if it can't decide the case. A second, different
                fingerprint raises an `evidence_conflict` alert and makes its item the case's owner.
            data: The signed text of that evidence. It is stored once for each fingerprint.
            biz_no: The customer's own number of the verification, or empty.
            received_at: Unix seconds.
            secret: Index of the secret that matched. Empty for an unsigned return.
        """
        index = biz_no_key(self._prefix, case.account, biz_no)
        unsigned_cases = f"{self._prefix}:unsigned_cases:{{{case.account}}}"
        keys = (self.key(case), index, *self._outbox, unsigned_cases, self._counter_key(case))
        arrival = (item, channel, int(bool(fingerprint)), case.biz_id, biz_no, received_at, secret)
        limits = (int(self._limits.unsigned_ttl * 1000), self._limits.unsigned_cases)
        text = (compress(data.encode()), MAX_SIGNED_TEXTS, MAX_SIGNED_BYTES)
        arguments = (*arrival, self._ttl, MAX_RECORDED_ARRIVALS, fingerprint, case.account, *limits, *text)
        verdict, notify, returned, stored, unseen = await self._calls.submit(("arrive", keys, arguments))
        texts = tuple(text for each in stored for text in split_texts(each))
        return Arrival(verdict.decode(), _channels(notify, returned), texts, bool(unseen))

    async def reserve_read(
        self,
        case: CaseKey,
        read_id: str,
        *,
        allowed: int,
        read_timeout: float,
        spacing: Sequence[float],
        unsigned: bool = False,
    ) -> ReadPermit:
        """Ask for permission to read GetResult. A granted read is counted before it is made.

        Args:
            read_id: Identifies this read in `finish_read`. Asking again with the same id counts once.
            allowed: Reads of this case in all.
            read_timeout: Seconds after which an unfinished read is given up: its worker may have crashed.
            spacing: Seconds from read 1, 2, ... to the next one. The last value repeats.
            unsigned: Only unsigned returns ask for it, so the read counts against their limit per minute.
        """
        cost = self._limits.unsigned_reads if unsigned else ""
        longest_pause_ms = int(self._limits.breaker_pause * LONGEST_PAUSE_FACTOR * 1000)
        limits = (allowed, int(read_timeout * 1000), cost, longest_pause_ms)
        arguments = (read_id, *limits, *(int(pause * 1000) for pause in spacing))
        unsigned_reads = f"{self._prefix}:unsigned_reads:{{{case.account}}}"
        keys = (self.key(case), account_key(self._prefix, case.account), unsigned_reads)
        verdict, value, *why = await self._calls.submit(("reserve_read", keys, arguments))
        match verdict:
            case b"rate_limited":
                return ReadPermit("rate_limited")
            case b"stored":
                return ReadPermit("stored", raw=decompress(value))
            case b"refused":
                return ReadPermit("refused", code=value.decode())
            case b"wait":
                return ReadPermit("wait", seconds=value / 1000, code=why[0].decode())
            case b"spent":
                return ReadPermit("spent", number=value)
            case _:
                return ReadPermit("go", number=value)

    async def finish_read(
        self, case: CaseKey, read_id: str, result: ReadEnd, value: bytes | str, now: float
    ) -> tuple[str, ...] | None:
        """End a read. Returns the channels of the case, or None when the read was already given up or finished.

        After None another worker may have decided the case. Failures in a row open the account's circuit breaker.

        Args:
            result: `answered`: store the raw answer. `refused`: store the refusal and do not count the read.
                `unusable`: store the code as a refusal; the read stays counted.
                `given_back`: do not count the read. `failed`: the read stays counted.
            value: The raw answer, or the error code.
            now: When the answer came, in Unix seconds.
        """
        if result == "answered":
            value = compress(value.encode() if isinstance(value, str) else value)
        keys = (self.key(case), account_key(self._prefix, case.account), *self._outbox)
        pause_ms = int(self._limits.breaker_pause * 1000)
        account = (case.account, pause_ms, case.biz_id, LONGEST_PAUSE_FACTOR)
        arguments = (read_id, result, value, now, self._ttl, *account)
        notify, returned, was_open = await self._calls.submit(("finish_read", keys, arguments))
        return _channels(notify, returned) if was_open else None

    async def set_aside(self, case: CaseKey, raw: bytes) -> None:
        """Set the stored answer `raw` aside because it decides nothing, so that GetResult may be read again."""
        key = (self.key(case),)
        stored = await self._calls.submit(("read_text", key, ("raw",)))
        if stored is not None and decompress(stored) == raw:
            await self._calls.submit(("set_aside", key, (stored,)))

    async def commit(
        self, case: CaseKey, decision: bytes, *, item: str, attacked: bool = False, provisional: bool = False
    ) -> Committed | None:
        """Store the decision of a case, unless it has one. Returns the decision in force.

        Returns None when another item owns the undecided case: it has evidence that this decision does not consider.

        Args:
            decision: JSON of the decision.
            item: Id of the item that brought the evidence.
            attacked: Whether the decision names an attack. Counted for the alert on attacks.
            provisional: GetResult's answer is missing. When it arrives, an item in the outbox has the case classified
                again.
        """
        counted: Counted = "attacked" if attacked else "clean"
        keys: Sequence[str] = (self.key(case), self._counter_key(case))
        stored = compress(decision)
        arguments: Sequence[bytes | str | int] = (stored, self._ttl, counted, item)
        if provisional:
            keys, arguments = (*keys, *self._outbox), (*arguments, *case)
        current, state = await self._calls.submit(("commit", keys, arguments))
        if state == OWNED:
            return None
        return Committed(decompress(current), bool(state), current) if current else Committed(decision, False, stored)

    async def raise_conflict(self, case: CaseKey, item: str, channel: str) -> None:
        """Raise an `evidence_conflict` alert, once: the case's first signed evidence contradicts its decision."""
        keys = (self.key(case), *self._outbox)
        await self._calls.submit(("raise_conflict", keys, (*case, item, channel)))

    async def supersede(self, case: CaseKey, superseding: Superseding) -> bool:
        """Replace the decision and put the new one into the outbox. False when another decision is in force."""
        keys, arguments = (self.key(case), *self._outbox), superseding.arguments(self._prefix, self._ttl)
        return bool(await self._calls.submit(("supersede", keys, arguments)))

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
