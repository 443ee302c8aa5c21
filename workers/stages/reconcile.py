"""Reconcile a case with GetResult: one item carries it to its evidence, the others are counted and done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from shared.settings import Account
from workers.decisioning.crosscheck import fingerprint
from workers.decisioning.evidence import Reconciled
from workers.faceid.payload import is_final
from workers.faceid.verification import Verified
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult
from workers.stages.evidence_reader import EvidenceReader, Found, Gone, NotFinal, Wait

RESULT_LIFE = 90_000.0
"""Seconds that a result can be read after its callback: FaceID keeps it for a day; an hour is given to the clocks."""


@dataclass(frozen=True, slots=True)
class RecheckTimes:
    """When an undecided case is looked at: `hint` seconds after a GET return, `token_life` after its token's birth."""

    hint: float
    token_life: float


class Reconcile:
    """The stage. Its state is the ledger: a second run of an item goes on where the first one died."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        ledger: Ledger,
        reader: EvidenceReader,
        looks: RecheckTimes,
        clock: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._reader = reader
        self._recheck_times = looks
        self._clock = clock

    def load(self, body: bytes) -> Verified:
        """The stage's input from a message."""
        return Verified.load(body)

    async def run(self, envelope: Envelope, verified: Verified) -> StageResult:
        """Note the arrival, and take the case on if it is this item's to carry."""
        account = self._accounts.get(envelope.account)
        if account is None:
            return stage_result.UNKNOWN_ACCOUNT
        callback = verified.callback
        case = CaseKey(envelope.account, verified.biz_id)
        arrival = await self._ledger.arrive(
            case,
            envelope.id,
            envelope.channel,
            fingerprint=fingerprint(callback) if callback is not None and is_final(callback.status) else "",
            data=verified.data,
            biz_no=(callback.biz_info.biz_no or "") if callback else "",
            received_at=envelope.received_at,
            secret="" if verified.secret is None else str(verified.secret),
        )
        match arrival.verdict:
            case "decided" | "joined" | "rate_limited":
                return stage_result.Drop(arrival.verdict)
            case "own":
                return await self._own_case(account, case, envelope, verified, arrival.channels)
            case "recheck":
                return await self._recheck(account, case, envelope, verified, arrival.channels)

    async def _own_case(
        self, account: Account, case: CaseKey, envelope: Envelope, verified: Verified, channels: tuple[str, ...]
    ) -> StageResult:
        """Signed, final evidence is here already: GetResult's is wanted beside it."""
        if account.reconcile == "never":
            return stage_result.Forward(Reconciled(verified, "", None, None, False, channels))
        reading = await self._reader.read(account, case, signed=True)
        while isinstance(reading, NotFinal):  # ends in a rest, or with the budget
            reading = await self._reader.read(account, case, signed=True)
        return self._conclude(reading, envelope, verified, channels)

    async def _recheck(
        self, account: Account, case: CaseKey, envelope: Envelope, verified: Verified, channels: tuple[str, ...]
    ) -> StageResult:
        """Nothing final has come: wait until the case is worth a read, then make it."""
        if account.reconcile == "never":
            return stage_result.Drop("nothing_to_decide_on")
        now = self._clock()
        expires = born(verified.biz_id, envelope.received_at) + self._recheck_times.token_life
        signed = verified.callback is not None
        due = expires if signed else envelope.received_at + self._recheck_times.hint
        if now < due:
            return stage_result.Delay(due - now, "open_case")
        reading = await self._reader.read(account, case, signed=signed)
        if isinstance(reading, NotFinal):
            return (
                stage_result.Delay(expires - now, "open_case") if now < expires else stage_result.Drop("never_finished")
            )
        return self._conclude(reading, envelope, verified, channels)

    def _conclude(
        self, reading: Found | Gone | Wait, envelope: Envelope, verified: Verified, channels: tuple[str, ...]
    ) -> StageResult:
        """What follows from a reading; nobody waits longer for a result than FaceID keeps it."""
        if isinstance(reading, Wait) and self._clock() > envelope.received_at + RESULT_LIFE:
            reading = Gone("RESULT_EXPIRED")
        match reading:
            case Found(raw, result, heard):
                return stage_result.Forward(Reconciled(verified, raw.decode(), result, None, True, heard or channels))
            case Gone(code, heard) if verified.callback is not None:
                return stage_result.Forward(Reconciled(verified, "", None, code, True, heard or channels))
            case Gone():
                return stage_result.Drop("unsigned_without_result")
            case Wait(seconds, why):
                return stage_result.Delay(seconds, why)


def born(biz_id: str, received_at: float) -> float:
    """When the token was issued, unix seconds: biz_id begins with it; `received_at` where it doesn't."""
    seconds = biz_id.partition(",")[0]
    return (
        min(float(seconds), received_at)
        if seconds.isascii() and seconds.isdigit() and len(seconds) <= 12
        else received_at
    )
