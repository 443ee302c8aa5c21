"""The fourth stage: commits the decision to the ledger, then lets it out, once."""

from shared.events.cloudevent import to_message
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from shared.messaging.message import Message
from workers.decisioning.decision_builder import Decided, alerts, attacked, provisional
from workers.decisioning.superseding import EVIDENCE_CAME, WORKERS, is_better, supersede
from workers.runtime import stage_result


class Publish:
    """Commits the decision to the ledger, then lets it out: once."""

    def __init__(self, ledger: Ledger, prefix: str) -> None:
        self._ledger = ledger
        self._prefix = prefix

    def load(self, body: bytes) -> Decided:
        """The stage's input from a message."""
        return Decided.load(body)

    async def run(self, envelope: Envelope, decided: Decided) -> stage_result.StageResult:
        """The decision that stands for the case goes out, and nothing when it is out already.

        One on better evidence than that supersedes it, and goes out by the outbox.
        """
        case, fresh, dumped = CaseKey(envelope.account, decided.biz_id), decided.decision, decided.dump()
        while True:
            current, published = await self._ledger.commit(
                case, dumped, attacked=attacked(fresh), provisional=provisional(fresh)
            )
            decision = fresh if current == dumped else Decided.load(current).decision
            if not is_better(fresh, decision):
                messages = () if published else self._posts(decision, current)
                return stage_result.Publish(messages, (self._ledger.key(case), "published", decision.id))
            await self._ledger.supersede(case, supersede(current, decision, fresh, by=WORKERS, note=EVIDENCE_CAME))

    def _posts(self, decision: Decision, current: bytes) -> tuple[Message, ...]:
        told = (to_message(alert, self._prefix) for alert in alerts(decision))
        return (to_message(decision, self._prefix, current), *told)
