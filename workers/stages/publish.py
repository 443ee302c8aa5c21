"""The `publish` stage: commit a decision to the ledger, then publish it."""

from shared.events.cloudevent import to_message
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from workers.decisioning.decided_case import DecidedCase
from workers.decisioning.decision_builder import (
    PIPELINE_USER,
    alerts,
    contradicts,
    has_attack,
    is_provisional,
    supersede,
    why_supersede,
)
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult


class Publish:
    """From a `DecidedCase` to the messages of the case's current decision."""

    def __init__(self, ledger: Ledger, prefix: str) -> None:
        self._ledger = ledger
        self._prefix = prefix

    def load(self, body: bytes) -> DecidedCase:
        """The input: what `classify` wrote."""
        return DecidedCase.load(body)

    async def run(self, envelope: Envelope, decided: DecidedCase) -> StageResult:
        """Publish the case's current decision and its alerts, or nothing when they are published already.

        The ledger keeps the first decision that is committed for a case. It commits none that overlooks a signed
        callback. If this decision is based on evidence that the current one lacks, it may supersede the current one,
        and the outbox publishes the new revision.
        """
        case, dumped = CaseKey(envelope.account, decided.biz_id), decided.dump()
        attacked, provisional = has_attack(decided), is_provisional(decided)
        while True:
            committed = await self._ledger.commit(
                case, dumped, item=envelope.id, attacked=attacked, provisional=provisional
            )
            if committed is None:
                return stage_result.Drop("joined")
            in_force, published, stored = committed
            current = decided if in_force == dumped else DecidedCase.load(in_force)
            if contradicts(decided, current):
                await self._ledger.raise_conflict(case, envelope.id, envelope.channel)
            note = why_supersede(decided, current)
            if not note:
                messages = () if published else self._messages(current, in_force)
                return stage_result.Publish(messages, (self._ledger.key(case), "published", current.id))
            superseding = supersede(stored, current.decision, decided.decision, by=PIPELINE_USER, note=note)
            await self._ledger.supersede(case, superseding)  # then commit again, and find which decision is current

    def _messages(self, decision: DecidedCase, dumped: bytes) -> tuple[Message, ...]:
        alert_messages = (to_message(alert, self._prefix) for alert in alerts(decision))
        return (to_message(decision, self._prefix, dumped), *alert_messages)
