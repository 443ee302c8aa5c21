"""The third stage: judges the evidence by the account's policy."""

from collections.abc import Callable, Mapping

from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import Decided, decide
from workers.decisioning.evidence import Reconciled
from workers.decisioning.policy import Policy
from workers.runtime import stage_result


class Classify:
    """Judges the evidence by the account's policy."""

    def __init__(self, policies: Mapping[str, Policy], clock: Callable[[], float]) -> None:
        self._policies = policies
        self._clock = clock

    def load(self, body: bytes) -> Reconciled:
        """The stage's input from a message."""
        return Reconciled.load(body)

    async def run(self, envelope: Envelope, reconciled: Reconciled) -> stage_result.StageResult:
        """A decision, always."""
        policy = self._policies.get(envelope.account)
        if policy is None:
            return stage_result.UNKNOWN_ACCOUNT
        verdict = classify(reconciled.evidence, policy)
        decision = decide(envelope, reconciled, verdict, policy, self._clock())
        return stage_result.Forward(Decided(decision))
