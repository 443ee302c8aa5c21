"""A worker with a fault: one callback kills it, as a crash in a native library would."""

import os
import signal
from collections.abc import Sequence

from console.main import main
from shared.envelope import Envelope
from workers import stages
from workers.verify import Verified, verify

KILLER = b"killer"


def fatal_verify(envelope: Envelope, secrets: Sequence[str]) -> Verified:
    if KILLER in envelope.body:
        os.kill(os.getpid(), signal.SIGKILL)
    return verify(envelope, secrets)


if __name__ == "__main__":
    vars(stages)["verify"] = fatal_verify
    main()
