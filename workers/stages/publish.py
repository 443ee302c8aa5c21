"""The `publish` stage: commit a decision to the ledger, then publish it."""

from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from workers.decisioning.decision_builder import (
    LATE_ANSWER_NOTE,
    PIPELINE_USER,
    DecidedCase,
    alerts,
    has_attack,
    is_better,
    is_provisional,
    supersede,
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

        The ledger keeps the first decision that is committed for a case. If this one is based on GetResult's answer
        and the current one lacks it, this one supersedes it, and the outbox publishes the new revision.
        """
        case, decision, dumped = CaseKey(envelope.account, decided.biz_id), decided.decision, decided.dump()
        while True:
            stored, published = await self._ledger.commit(
                case, dumped, attacked=has_attack(decision), provisional=is_provisional(decision)
            )
            current = decision if stored == dumped else DecidedCase.load(stored).decision
            if not is_better(decision, current):
                messages = () if published else self._messages(current, stored)
                return stage_result.Publish(messages, (self._ledger.key(case), "published", current.id))
            superseding = supersede(stored, current, decision, by=PIPELINE_USER, note=LATE_ANSWER_NOTE)
            await self._ledger.supersede(case, superseding)  # then commit again, and find which decision is current

    def _messages(self, decision: Decision, dumped: bytes) -> tuple[Message, ...]:
        alert_messages = (to_message(alert, self._prefix) for alert in alerts(decision))
        return (to_message(decision, self._prefix, dumped), *alert_messages)
