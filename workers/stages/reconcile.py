"""The `reconcile` stage: get GetResult's answer for a case, and put it beside the signed callback.

The last arrival that brought new signed, final evidence judges the case (its owner). While none has come, up to two
arrivals wait and then read GetResult themselves: one signed, one unsigned (recheck). The others are dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from shared.accounts import Account
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Arrival, Ledger
from shared.messaging.envelope import Envelope
from workers.decisioning.evidence import ReconciledCase, answer_text, fingerprint
from workers.faceid.payload import Payload, is_final
from workers.faceid.verification import VerifiedArrival, issue_time
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult
from workers.stages.evidence_reader import EvidenceFound, EvidenceReader, EvidenceUnavailable, NotFinal, RetryLater

RESULT_KEPT_SECONDS = 90_000.0
"""How long after a callback its result may be read: FaceID keeps it for one day (FaceID's GetResult page), plus an hour
for differences between clocks."""


@dataclass(frozen=True, slots=True)
class RecheckTimes:
    """When a case without a signed, final callback is read, in seconds."""

    unsigned_delay: float
    """After an unsigned return."""
    token_lifetime: float
    """After the token was issued; then the user's flow must have ended."""


class Reconcile:
    """From a `VerifiedArrival` to a `ReconciledCase`.

    The state of a case is in the ledger. A second run of the same message continues where the first one stopped.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        ledger: Ledger,
        reader: EvidenceReader,
        recheck_times: RecheckTimes,
        clock: Callable[[], float],
    ) -> None:
        """`clock`: unix seconds."""
        self._accounts = accounts
        self._ledger = ledger
        self._reader = reader
        self._recheck_times = recheck_times
        self._clock = clock

    def load(self, body: bytes) -> VerifiedArrival:
        """The input: what `verify` wrote."""
        return VerifiedArrival.load(body)

    async def run(self, envelope: Envelope, verified: VerifiedArrival) -> StageResult:
        """Record the arrival in the ledger, and own or recheck the case if the ledger says so."""
        account = self._accounts.get(envelope.account)
        if account is None:
            return stage_result.UNKNOWN_ACCOUNT
        case = CaseKey(envelope.account, verified.biz_id)
        arrival = await self._record_arrival(case, envelope, verified)
        match arrival.verdict:
            case "decided" | "joined" | "rate_limited":
                return stage_result.Drop(arrival.verdict)
            case "own":
                return await self._own_case(account, case, envelope, verified, arrival)
            case "recheck":
                return await self._recheck(account, case, envelope, verified, arrival)

    async def _record_arrival(self, case: CaseKey, envelope: Envelope, verified: VerifiedArrival) -> Arrival:
        callback = verified.callback
        return await self._ledger.arrive(
            case,
            envelope.id,
            envelope.channel,
            fingerprint=fingerprint(callback) if callback is not None and is_final(callback.status) else "",
            data=verified.data,
            biz_no=(callback.biz_info.biz_no or "") if callback else "",
            received_at=envelope.received_at,
            secret="" if verified.secret is None else str(verified.secret),
        )

    async def _own_case(
        self, account: Account, case: CaseKey, envelope: Envelope, verified: VerifiedArrival, arrival: Arrival
    ) -> StageResult:
        """This callback is signed and final: read GetResult now."""
        evidence = _all_evidence(verified, arrival)
        if account.reconcile == "never":
            return stage_result.Forward(evidence)
        reading = await self._reader.read(account, case, signed=True)
        while isinstance(reading, NotFinal):  # ends when the ledger wants a pause, or the budget is spent
            reading = await self._reader.read(account, case, signed=True)
        return self._to_stage_result(reading, envelope, evidence)

    async def _recheck(
        self, account: Account, case: CaseKey, envelope: Envelope, verified: VerifiedArrival, arrival: Arrival
    ) -> StageResult:
        """No signed, final callback has come: read GetResult when it is due."""
        if account.reconcile == "never":
            return stage_result.Drop("nothing_to_decide_on")
        now = self._clock()
        token_expires = token_issued_at(verified.biz_id, envelope.received_at) + self._recheck_times.token_lifetime
        signed = verified.callback is not None
        due = token_expires if signed else envelope.received_at + self._recheck_times.unsigned_delay
        if now < due:
            return stage_result.Delay(due - now, "open_case")
        reading = await self._reader.read(account, case, signed=signed)
        if not isinstance(reading, NotFinal):
            return self._to_stage_result(reading, envelope, _all_evidence(verified, arrival))
        if now < token_expires:
            return stage_result.Delay(token_expires - now, "open_case")
        return stage_result.Drop("never_finished")

    def _to_stage_result(
        self, reading: EvidenceFound | EvidenceUnavailable | RetryLater, envelope: Envelope, evidence: ReconciledCase
    ) -> StageResult:
        """Forward the evidence, or what is signed of it; retry later, as long as FaceID keeps the result."""
        if isinstance(reading, RetryLater) and self._clock() > envelope.received_at + RESULT_KEPT_SECONDS:
            reading = EvidenceUnavailable("RESULT_EXPIRED")
        match reading:
            case EvidenceFound(raw, result, newer):
                channels = newer or evidence.channels
                found = replace(evidence, raw=answer_text(raw), result=result, reconcile=True, channels=channels)
                return stage_result.Forward(found)
            case EvidenceUnavailable(code, newer) if evidence.verified.callback is not None:
                channels = newer or evidence.channels
                return stage_result.Forward(replace(evidence, refusal=code, reconcile=True, channels=channels))
            case EvidenceUnavailable():
                return stage_result.Drop("unsigned_without_result")
            case RetryLater(seconds, why):
                return stage_result.Delay(seconds, why)


def _all_evidence(verified: VerifiedArrival, arrival: Arrival) -> ReconciledCase:
    """What is known before GetResult is read: this arrival, or the case's first signed text and the later ones."""
    first, later = arrival.texts[:1], arrival.texts[1:]
    if first:
        verified = replace(verified, callback=Payload.from_json(first[0]), data=first[0])
    return ReconciledCase(verified, "", None, None, False, arrival.channels, later, arrival.unseen)


def token_issued_at(biz_id: str, received_at: float) -> float:
    """When the token of this verification was issued, in unix seconds.

    FaceID begins a biz_id with that time. Where it does not, or names a later time than `received_at`, it is
    `received_at`.
    """
    issued_at = issue_time(biz_id)
    return received_at if issued_at is None else min(issued_at, received_at)
