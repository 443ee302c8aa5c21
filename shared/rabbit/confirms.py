"""Publisher confirms: which messages of a batch the broker has stored."""

from typing import Any


class Refused(Exception):
    """The broker refused a message (`nack`), or had no queue for it (`unroutable`)."""


class Confirms:
    """The confirms of one channel, for the batch that was sent last."""

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
        """Begin a new batch: missing confirms of earlier batches are forgotten."""
        self._missing.clear()
        self._fault = ""

    def sent(self) -> None:
        """A message of the batch was published."""
        self._sent += 1  # the broker numbers the messages of a channel from 1
        self._missing.add(self._sent)

    @property
    def complete(self) -> bool:
        """Whether every message of the batch is confirmed. Raises `Refused` when one is refused."""
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
