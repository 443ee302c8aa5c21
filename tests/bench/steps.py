"""Measure each step of one callback, in microseconds: the least and the median of many short runs.

`python -m tests.bench.steps` prints the table, which stands in docs/explanation/performance.md. Each step is called
alone. A whole callback costs more than their sum: the rest is the event loop, the pump and redis-py. The last lines are
the whole decision, in a loop and with a pause before each callback, as in a worker with little load.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import median, quantiles
from time import perf_counter, sleep
from timeit import repeat
from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.local.stack import DEMO_SECRET
from shared.brokers.redis_streams_publisher import addition
from shared.events.cloudevent import to_message
from shared.events.decision import decision_id
from shared.messaging.envelope import Envelope
from tests.bench import callbacks, work
from tests.support.load import bodies
from tests.support.payloads import FORM, new_envelope
from workers.decisioning.classifier import classify
from workers.decisioning.decision_builder import decide
from workers.decisioning.evidence import Evidence, ReconciledCase, fingerprint
from workers.decisioning.policy import Policy
from workers.faceid import form, strict_json, verification
from workers.faceid.payload import Payload
from workers.faceid.verification import verify

RUNS, CALLS = 400, 50
PAUSE: Final = 0.005
"""Seconds between two callbacks at 200 a second."""
NOW: Final = 1_700_000_000.0
SECRETS: Final = [DEMO_SECRET]

Step = tuple[str, Callable[[], object]]


def steps() -> Iterator[Step]:
    """The steps in the order of processing. An indented step is part of the step before it."""
    envelope = new_envelope("default", "notify", "POST", bodies(1)[0], FORM, "", NOW)
    message, policy = envelope.to_message("faceid.callbacks"), Policy.load()
    signed, verified = form.parse(FORM, envelope.body), verify(envelope, SECRETS)
    assert verified.callback is not None
    callback = verified.callback
    reconciled = ReconciledCase(verified, "", None, None, False, ("notify",))
    evidence = Evidence(callback, None, None, False)
    verdict = classify(evidence, policy)
    decision = decide(envelope, reconciled, verdict, policy, NOW)
    dumped = decision.dump()
    yield "read the envelope", lambda: Envelope.read(message.headers, message.content_type, message.body)
    yield "verify", lambda: verify(envelope, SECRETS)
    yield "  the form", lambda: form.parse(FORM, envelope.body)
    yield "  the signature", lambda: verification.match_secret(SECRETS, signed.data, signed.sign)
    yield "  strict JSON", lambda: strict_json.parse(signed.data)
    yield "  JSON and the model", lambda: Payload.from_json(signed.data)
    yield "what it says, for contradictions", lambda: fingerprint(callback)
    yield "classify", lambda: classify(evidence, policy)
    yield "the decision", lambda: decide(envelope, reconciled, verdict, policy, NOW)
    yield "its JSON", decision.dump
    yield "its id", lambda: decision_id("default", decision.biz_id, 1)
    yield "the event around it", lambda: to_message(decision, "faceid", dumped)
    yield "the entry of the stream", lambda: addition(message)


def timed(step: Callable[[], object]) -> Sequence[float]:
    """Microseconds of one call, in each of many short runs."""
    return [seconds / CALLS * 1e6 for seconds in repeat(step, number=CALLS, repeat=RUNS)]


def deciding(pause: float) -> Sequence[float]:
    """Microseconds of the whole decision, each after a pause of so many seconds."""
    taken = []
    for body in callbacks.bodies(RUNS):
        sleep(pause)
        started = perf_counter()
        work.decide_callback(body)
        taken.append((perf_counter() - started) * 1e6)
    return taken


def main() -> None:
    costs = {name: timed(step) for name, step in steps()}
    shown = Table("step", "least", "median", "p99")
    for name, taken in costs.items():
        shown.add_row(name, f"{min(taken):.1f}", f"{median(taken):.1f}")
    whole = [taken for name, taken in costs.items() if not name.startswith(" ")]
    shown.add_row("all of them", f"{sum(map(min, whole)):.1f}", f"{sum(map(median, whole)):.1f}")
    for name, pause in (("the judgement in a loop", 0.0), (f"the same, {PAUSE * 1000:.0f} ms apart", PAUSE)):
        taken = deciding(pause)
        shown.add_row(name, f"{min(taken):.0f}", f"{median(taken):.0f}", f"{quantiles(taken, n=100)[98]:.0f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
