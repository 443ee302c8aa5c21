"""The `classify` stage: decide a case by the policy of its account."""

from collections.abc import Callable, Mapping

from shared.messaging.envelope import Envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import ReconciledCase
from workers.decisioning.policy import Policy
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult


class Classify:
    """From a `ReconciledCase` to a `DecidedCase`."""

    def __init__(self, policies: Mapping[str, Policy], clock: Callable[[], float]) -> None:
        """`policies`: by account. `clock`: unix seconds."""
        self._policies = policies
        self._clock = clock

    def load(self, body: bytes) -> ReconciledCase:
        """The input: what `reconcile` wrote."""
        return ReconciledCase.load(body)

    async def run(self, envelope: Envelope, reconciled: ReconciledCase) -> StageResult:
        """Forward a decision. Every case gets one: missing evidence gives the outcome UNDETERMINED or REVIEW."""
        policy = self._policies.get(envelope.account)
        if policy is None:
            return stage_result.UNKNOWN_ACCOUNT
        verdict = classify(reconciled.evidence, policy)
        return stage_result.Forward(decide(envelope, reconciled, verdict, policy, self._clock()))
