"""Which messages of a batch the broker has taken."""

from typing import Any


class Refused(Exception):
    """The broker did not take a message, or had no queue for it."""


class Confirms:
    """Publisher confirms of one channel, counted for the batch that was sent last."""

    def __init__(self, channel: Any) -> None:
        channel.events["basic_ack"].add(self._ack)
        channel.events["basic_nack"].add(self._nack)
        channel.events["basic_return"].add(self._return)
        channel.confirm_select()
        self._sent = 0
        self._confirmed_to = 0
        self._missing: set[int] = set()
        self._fault = ""

    def begin(self) -> None:
        """A new batch: what earlier ones still miss no longer counts."""
        self._missing.clear()
        self._fault = ""

    def sent(self) -> None:
        """One more message was published on the channel."""
        self._sent += 1  # as the broker numbers them
        self._missing.add(self._sent)

    @property
    def complete(self) -> bool:
        """Whether the broker has every message of the batch; raises `Refused` when it will not have one."""
        if self._fault:
            raise Refused(self._fault)
        return not self._missing

    def _ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._missing.difference_update(range(self._confirmed_to + 1, tag + 1))
            self._confirmed_to = tag
        else:
            self._missing.discard(tag)

    def _nack(self, _tag: int, _multiple: bool) -> None:
        self._fault = "nack"

    def _return(self, _error: Exception, _exchange: str, _routing_key: str, _message: Any) -> None:
        self._fault = "unroutable"
