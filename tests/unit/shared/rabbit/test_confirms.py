"""Publisher confirms and open deliveries of a RabbitMQ channel."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rabbit.confirms import Confirms, Refused
from shared.rabbit.open_deliveries import OpenDeliveries


class Channel:
    """The part of a py-amqp channel that confirms use; `send` is an event from the broker."""

    def __init__(self) -> None:
        self.events: dict[str, set[Callable[..., None]]] = defaultdict(set)

    def confirm_select(self) -> None:
        pass

    def send(self, event: str, *arguments: Any) -> None:
        for callback in self.events[event]:
            callback(*arguments)


def sent(count: int) -> tuple[Channel, Confirms]:
    channel = Channel()
    confirms = Confirms(channel)
    confirms.begin()
    for _ in range(count):
        confirms.sent()
    return channel, confirms


def test_a_batch_is_complete_when_every_message_is_confirmed() -> None:
    channel, confirms = sent(5)
    for tag, multiple in ((4, False), (2, True), (5, False)):
        channel.send("basic_ack", tag, multiple)
        assert not confirms.complete
    channel.send("basic_ack", 3, False)
    assert confirms.complete


def test_missing_confirms_of_an_earlier_batch_do_not_count() -> None:
    channel, confirms = sent(2)
    confirms.begin()
    confirms.sent()
    channel.send("basic_ack", 1, False)
    assert not confirms.complete
    channel.send("basic_ack", 3, True)
    assert confirms.complete


@pytest.mark.parametrize("arguments", [("basic_nack", 1, False), ("basic_return", ValueError(), "", "q", object())])
def test_a_refused_message_is_reported_until_the_next_batch(arguments: tuple[Any, ...]) -> None:
    channel, confirms = sent(1)
    channel.send(*arguments)
    channel.send("basic_ack", 1, False)  # as follows a return
    with pytest.raises(Refused):
        assert confirms.complete
    confirms.begin()
    assert confirms.complete


def test_one_acknowledgement_stands_for_all_up_to_the_first_that_stays_open() -> None:
    deliveries = OpenDeliveries()
    for tag in range(1, 8):
        deliveries.add(tag)
    assert deliveries.close([7, 2, 1, 3, 5]) == [(3, True), (5, False), (7, False)]
    assert deliveries.close([4, 5]) == [(4, True)]
    assert deliveries.close([4, 99]) == []
    assert deliveries.close([6]) == [(6, True)]


@given(st.lists(st.sets(st.integers(1, 40)), max_size=12))
def test_in_whatever_order_deliveries_are_closed_exactly_these_are_acknowledged(
    batches: list[set[int]],
) -> None:
    deliveries, open_, wanted = OpenDeliveries(), set(range(1, 41)), set[int]()
    for tag in sorted(open_):
        deliveries.add(tag)
    for batch in batches:
        wanted |= batch
        for tag, multiple in deliveries.close(batch):
            open_ -= {other for other in open_ if other <= tag} if multiple else {tag}
        assert open_ == set(range(1, 41)) - wanted
