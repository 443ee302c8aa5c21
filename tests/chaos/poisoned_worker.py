"""A worker that one callback kills by SIGKILL, as a crash in a native library would."""

import os
import signal
from collections.abc import Sequence

from console.main import main
from shared.messaging.envelope import Envelope
from workers.faceid.verification import VerifiedArrival, verify
from workers.stages import verify as stage

KILLER = b"killer"


def fatal_verify(envelope: Envelope, secrets: Sequence[str]) -> VerifiedArrival:
    if KILLER in envelope.body:
        os.kill(os.getpid(), signal.SIGKILL)
    return verify(envelope, secrets)


if __name__ == "__main__":
    vars(stage)["verify"] = fatal_verify
    main()
