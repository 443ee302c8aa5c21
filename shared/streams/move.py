from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from shared.streams.delivery import Delivery

Word = bytes | str | int

MAX_WORDS: Final = 7000
"""Lua hands a function at most 8000 arguments."""

MAX_CALL_WORDS: Final = 20_000
"""Beyond it a batch is cut into several calls, so that none holds up the server for long."""


@dataclass(frozen=True, slots=True)
class Move:
    """Settles one message and runs commands in the same step.

    With `once` (key, field, value of a hash) the commands run only if the field was not set yet; the message is
    settled either way. Raises ValueError for an empty command or one of more than 7000 words.
    """

    delivery_tag: str
    commands: tuple[tuple[Word, ...], ...] = ()
    once: tuple[Word, Word, Word] | None = None

    def __post_init__(self) -> None:
        if not all(0 < len(command) <= MAX_WORDS for command in self.commands):
            raise ValueError(f"a command of a move has 1 to {MAX_WORDS} words")

    def words(self, entry_id: bytes) -> list[Word]:
        """The arguments of this move in the script."""
        words: list[Word] = [entry_id, *((1, *self.once) if self.once else (0,)), len(self.commands)]
        for command in self.commands:
            words += (len(command), *command)
        return words


class MoveRefused(ResponseError):
    """Redis refused a command of a move, as for a key of the wrong type.

    The message of that move is held as before, its `once` field is unset, and commands that came before the refused
    one have been run. `results` has for each move of the batch True, False, or None for a refused one.
    """

    def __init__(self, reason: str, results: Sequence[bool | None]) -> None:
        super().__init__(reason)
        self.results = results


@dataclass(frozen=True, slots=True)
class Call:
    """Moves that go to Redis in one script call."""

    deliveries: list[Delivery]
    words: list[Word]


def calls(pairs: Iterable[tuple[Move, Delivery]]) -> Iterator[Call]:
    """The moves in as few calls as their size allows, never cut inside a move."""
    call = Call([], [])
    for move, delivery in pairs:
        words = move.words(delivery.entry_id)
        if call.words and len(call.words) + len(words) > MAX_CALL_WORDS:
            yield call
            call = Call([], [])
        call.deliveries.append(delivery)
        call.words.extend(words)
    if call.deliveries:
        yield call
