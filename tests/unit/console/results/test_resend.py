from collections.abc import Sequence

import pytest

from console.dead_letters.batch_move import Pace
from console.results.decision_scan import Wanted
from console.results.resend import Sent, send
from shared.events.cloudevent import to_event
from shared.events.decision import Decision
from shared.messaging.message import Message
from shared.messaging.publisher import NotStored
from tests.support.decisions import made_on, on_answer
from tests.support.payloads import ISSUED_AT

APPROVED = made_on(on_answer())


class Broker:
    """A publisher that keeps batches, and fails at one."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.batches: list[list[Message]] = []
        self._fails_at = fails_at

    def publish(self, messages: Sequence[Message]) -> None:
        if len(self.batches) == self._fails_at:
            raise NotStored("gone")
        self.batches.append(list(messages))


def many(count: int) -> list[Decision]:
    return [Decision.model_validate(dict(APPROVED) | {"biz_id": f"{ISSUED_AT:.0f},{n}"}) for n in range(count)]


def test_decisions_are_published_in_batches_and_unchanged() -> None:
    broker, sent, steps = Broker(), Sent(), list[int]()
    made = many(1200)
    send(made, broker, "p", Pace(None), sent, steps.append)
    messages = [message for batch in broker.batches for message in batch]
    assert [message.body for message in messages] == [to_event(decision) for decision in made]
    assert (sent.count, sum(steps), [len(batch) for batch in broker.batches]) == (1200, 1200, [500, 500, 200])


def test_a_rate_is_held_with_small_batches() -> None:
    naps = list[float]()
    broker = Broker()
    send(many(50), broker, "p", Pace(100.0, clock=lambda: 0.0, sleep=naps.append), Sent(), lambda _: None)
    assert [len(batch) for batch in broker.batches] == [10] * 5
    assert naps == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_messages_stored_before_a_failure_are_counted() -> None:
    sent = Sent()
    with pytest.raises(NotStored):
        send(many(1200), Broker(fails_at=2), "p", Pace(None), sent, lambda _: None)
    assert sent.count == 1000


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), True),
        (Wanted(outcome="APPROVED"), True),
        (Wanted(outcome="REVIEW"), False),
        (Wanted(ids=frozenset({APPROVED.id, "another"})), True),
        (Wanted(ids=frozenset({"another"})), False),
        (Wanted(since=ISSUED_AT + 3.25, until=ISSUED_AT + 3.25), True),
        (Wanted(since=ISSUED_AT + 3.26), False),
        (Wanted(until=ISSUED_AT + 3.24), False),
        (Wanted(ids=frozenset({APPROVED.id}), outcome="REVIEW"), False),
    ],
)
def test_a_decision_is_wanted_when_it_passes_every_filter(wanted: Wanted, taken: bool) -> None:
    assert wanted.takes(APPROVED) is taken
