"""The first stage: shows that a callback comes from FaceID."""

from collections.abc import Mapping, Sequence

from shared.messaging.envelope import Envelope
from workers.faceid.verification import Unverified, verify
from workers.runtime import stage_result


class Verify:
    """Shows that a callback comes from FaceID; the raw request goes in."""

    def __init__(self, secrets: Mapping[str, Sequence[str]]) -> None:
        """`secrets` by account, newest first."""
        self._secrets = secrets

    def load(self, body: bytes) -> bytes:
        """The request's body, as it came."""
        return body

    async def run(self, envelope: Envelope, _: bytes) -> stage_result.StageResult:
        """Verified, or set aside."""
        secrets = self._secrets.get(envelope.account)
        if secrets is None:
            return stage_result.UNKNOWN_ACCOUNT
        try:
            return stage_result.Forward(verify(envelope, secrets))
        except Unverified as fault:
            return stage_result.Unverified(fault.reason, fault.detail)
