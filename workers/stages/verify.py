"""The `verify` stage: check that a callback comes from FaceID."""

from collections.abc import Mapping, Sequence

from shared.messaging.envelope import Envelope
from workers.faceid.verification import Unverified, check_age, verify
from workers.runtime import stage_result
from workers.runtime.stage_result import StageResult


class Verify:
    """From a raw request to a `VerifiedArrival`, or to the unverified messages."""

    def __init__(self, secrets: Mapping[str, Sequence[str]], retention: float) -> None:
        """`secrets`: by account, the newest first. `retention`: seconds that a case is kept."""
        self._secrets = secrets
        self._retention = retention

    def load(self, body: bytes) -> bytes:
        """The input: the request's body as it came."""
        return body

    async def run(self, envelope: Envelope, _: bytes) -> StageResult:
        """Forward a `VerifiedArrival`, or return `Unverified` with the rule that the request breaks."""
        secrets = self._secrets.get(envelope.account)
        if secrets is None:
            return stage_result.UNKNOWN_ACCOUNT
        try:
            verified = verify(envelope, secrets)
            check_age(verified.biz_id, envelope.received_at, self._retention)
        except Unverified as error:
            return stage_result.Unverified(error.reason, error.detail)
        return stage_result.Forward(verified)
