"""The fourth stage: commits the decision to the ledger, then lets it out, once."""

from shared.events.cloudevent import to_post
from shared.events.decision import Decision
from shared.ledger.case_key import CaseKey
from shared.ledger.ledger import Ledger
from shared.messaging.envelope import Envelope
from shared.messaging.message import Post
from workers.decisioning.decision_builder import Decided, alerts, attacked, provisional
from workers.decisioning.superseding import EVIDENCE_CAME, WORKERS, is_better, supersede
from workers.runtime import stage_result as outcome


class Publish:
    """Commits the decision to the ledger, then lets it out: once."""

    def __init__(self, ledger: Ledger, prefix: str) -> None:
        self._ledger = ledger
        self._prefix = prefix

    def load(self, body: bytes) -> Decided:
        """The stage's input from a message."""
        return Decided.load(body)

    async def run(self, envelope: Envelope, decided: Decided) -> outcome.Outcome:
        """The decision that stands for the case goes out, and nothing when it is out already.

        One on better evidence than that supersedes it, and goes out by the outbox.
        """
        case, fresh, dumped = CaseKey(envelope.account, decided.biz_id), decided.decision, decided.dump()
        while True:
            standing, published = await self._ledger.commit(
                case, dumped, attacked=attacked(fresh), provisional=provisional(fresh)
            )
            decision = fresh if standing == dumped else Decided.load(standing).decision
            if not is_better(fresh, decision):
                posts = () if published else self._posts(decision, standing)
                return outcome.Publish(posts, (self._ledger.key(case), "published", decision.id))
            await self._ledger.supersede(case, supersede(standing, decision, fresh, by=WORKERS, note=EVIDENCE_CAME))

    def _posts(self, decision: Decision, standing: bytes) -> tuple[Post, ...]:
        told = (to_post(alert, self._prefix) for alert in alerts(decision))
        return (to_post(decision, self._prefix, standing), *told)
