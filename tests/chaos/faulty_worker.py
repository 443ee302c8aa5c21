"""A worker with one fault, named by the environment variable `FAULTY_WORKER`.

`hangs`: a stage never ends for the callback that contains `killer`. `raises`: the runner raises for that callback.
`dies in maintenance`: each process is killed by its own maintenance, after a while.
"""

import asyncio
import os
import signal
import time
from typing import Any

from console.main import main
from shared.messaging.delivery import Delivery
from shared.messaging.envelope import Envelope
from workers import worker
from workers.maintenance.delayed_scheduler import DelayedScheduler
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settlement
from workers.stages.verify import Verify

KILLER = b"killer"
LONGEST = 2.0
"""Seconds that a stage may take."""
DIES_AFTER = 3.0

_run_verify = Verify.run
_run = Runner.run
_started_at = time.monotonic()


async def hang(self: Verify, envelope: Envelope, body: bytes) -> Any:
    if KILLER in envelope.body:
        await asyncio.Event().wait()
    return await _run_verify(self, envelope, body)


async def raise_for_killer(self: Runner, delivery: Delivery) -> Settlement:
    if KILLER in delivery.body and delivery.delivery_count < 2:
        raise RuntimeError("no settlement")
    return await _run(self, delivery)


def die(_: DelayedScheduler) -> None:
    if time.monotonic() - _started_at > DIES_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    match os.environ["FAULTY_WORKER"]:
        case "hangs":
            vars(worker)["longest_stage"] = lambda *_: LONGEST
            Verify.run = hang  # type: ignore[method-assign,assignment]
        case "raises":
            Runner.run = raise_for_killer  # type: ignore[method-assign]
        case "dies in maintenance":
            DelayedScheduler.run = die  # type: ignore[method-assign,assignment]
    main()
