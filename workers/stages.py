"""The stages in the order of the topology: thin shells around the pure parts."""

from collections.abc import Callable, Mapping, Sequence

from shared.cloudevent import to_post
from shared.decision import Decision
from shared.envelope import Envelope
from shared.ledger import CaseKey, Ledger
from shared.post import Post
from workers import outcome
from workers.classify import classify
from workers.decided import Decided, alerts, attacked, decide, provisional
from workers.policy import Policy
from workers.reconciled import Reconciled
from workers.superseding import EVIDENCE_CAME, WORKERS, is_better, supersede
from workers.verify import Unverified, verify

UNKNOWN_ACCOUNT = outcome.Dead("unknown_account", "no such account in this worker's settings")


class Verify:
    """Shows that a callback comes from FaceID; the raw request goes in."""

    def __init__(self, secrets: Mapping[str, Sequence[str]]) -> None:
        """`secrets` by account, newest first."""
        self._secrets = secrets

    def load(self, body: bytes) -> bytes:
        """The request's body, as it came."""
        return body

    async def run(self, envelope: Envelope, _: bytes) -> outcome.Outcome:
        """Verified, or set aside."""
        secrets = self._secrets.get(envelope.account)
        if secrets is None:
            return UNKNOWN_ACCOUNT
        try:
            return outcome.Forward(verify(envelope, secrets))
        except Unverified as fault:
            return outcome.Unverified(fault.reason, fault.detail)


class Classify:
    """Judges the evidence by the account's policy."""

    def __init__(self, policies: Mapping[str, Policy], clock: Callable[[], float]) -> None:
        self._policies = policies
        self._clock = clock

    def load(self, body: bytes) -> Reconciled:
        """The stage's input from a message."""
        return Reconciled.load(body)

    async def run(self, envelope: Envelope, reconciled: Reconciled) -> outcome.Outcome:
        """A decision, always."""
        policy = self._policies.get(envelope.account)
        if policy is None:
            return UNKNOWN_ACCOUNT
        verdict = classify(reconciled.evidence, policy)
        decision = decide(envelope, reconciled, verdict, policy, self._clock())
        return outcome.Forward(Decided(decision))


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
