"""What each step of one callback costs, in microseconds of one quiet core: the least of many short runs.

`python -m tests.bench.steps` prints the table, which stands in docs/performance.md. The steps are called alone, one
after another; what is left between their sum and the cost of a whole callback is the loop, the pump and redis-py.
"""

from collections.abc import Callable, Iterator
from timeit import repeat
from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.local.stack import DEMO_SECRET
from shared.cloudevent import to_post
from shared.decision import decision_id
from shared.envelope import Envelope
from shared.streams_publisher import addition
from tests.e2e.load import bodies
from tests.unit.payloads import FORM
from workers import form, signature, strict_json
from workers.callback import Callback
from workers.classify import Evidence, classify
from workers.crosscheck import gist
from workers.decided import Decided, decide
from workers.policy import Policy
from workers.reconciled import Reconciled
from workers.verify import verify

RUNS, CALLS = 400, 50
NOW: Final = 1_700_000_000.0
SECRETS: Final = [DEMO_SECRET]

Step = tuple[str, Callable[[], object]]


def steps() -> Iterator[Step]:
    """In the order in which a callback comes to them; an indented one is part of the one before."""
    envelope = Envelope.arrived("default", "notify", "POST", bodies(1)[0], FORM, "", NOW)
    post, policy = envelope.post("faceid.callbacks"), Policy.load()
    signed, verified = form.fields(FORM, envelope.body), verify(envelope, SECRETS)
    assert verified.callback is not None
    callback = verified.callback
    reconciled = Reconciled(verified, "", None, None, False, ("notify",))
    evidence = Evidence(callback, None, None, False)
    verdict = classify(evidence, policy)
    decision = decide(envelope, reconciled, verdict, policy, NOW)
    dumped = Decided(decision).dump()
    yield "read the envelope", lambda: Envelope.read(post.headers, post.content_type, post.body)
    yield "verify", lambda: verify(envelope, SECRETS)
    yield "  the form", lambda: form.fields(FORM, envelope.body)
    yield "  the signature", lambda: signature.match(SECRETS, signed.data, signed.sign)
    yield "  strict JSON", lambda: strict_json.parse(signed.data)
    yield "  JSON and the model", lambda: Callback.from_json(signed.data)
    yield "what it says, for contradictions", lambda: gist(callback)
    yield "classify", lambda: classify(evidence, policy)
    yield "the decision", lambda: decide(envelope, reconciled, verdict, policy, NOW)
    yield "its JSON", lambda: Decided(decision).dump()
    yield "its id", lambda: decision_id("default", decision.biz_id, 1)
    yield "the event around it", lambda: to_post(decision, "faceid", dumped)
    yield "the entry of the stream", lambda: addition(post)


def least(step: Callable[[], object]) -> float:
    """Microseconds of one call, where nothing else disturbed it."""
    return min(repeat(step, number=CALLS, repeat=RUNS)) / CALLS * 1e6


def main() -> None:
    costs = {name: least(step) for name, step in steps()}
    shown = Table("step", "microseconds")
    for name, cost in costs.items():
        shown.add_row(name, f"{cost:.1f}")
    shown.add_row("all of them", f"{sum(cost for name, cost in costs.items() if not name.startswith(' ')):.1f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
