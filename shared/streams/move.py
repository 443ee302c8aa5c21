from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from shared.streams.delivery import Delivery

Argument = bytes | str | int

MAX_COMMAND_ARGUMENTS: Final = 7000
"""Redis's Lua passes at most 8000 arguments to a function (LUAI_MAXCSTACK)."""

MAX_CALL_ARGUMENTS: Final = 20_000
"""A larger batch is split into several script calls, so that no call blocks the server for long."""


@dataclass(frozen=True, slots=True)
class Move:
    """Acknowledge one message and run Redis commands in the same step.

    With `once` (key, field and value of a hash) the commands run only if the field was not set yet. The message is
    acknowledged in both cases. Raises ValueError for a command without arguments or with more than 7000.

    A command may also be STORE of `scripts.py`, which adds an item to a sorted set and a hash.
    """

    delivery_tag: str
    commands: tuple[tuple[Argument, ...], ...] = ()
    once: tuple[Argument, Argument, Argument] | None = None

    def __post_init__(self) -> None:
        if not all(0 < len(command) <= MAX_COMMAND_ARGUMENTS for command in self.commands):
            raise ValueError(f"a command of a move needs 1 to {MAX_COMMAND_ARGUMENTS} arguments")

    def arguments(self, entry_id: bytes) -> list[Argument]:
        """The arguments of this move in `scripts.MOVE`."""
        arguments: list[Argument] = [entry_id, *((1, *self.once) if self.once else (0,)), len(self.commands)]
        for command in self.commands:
            arguments += (len(command), *command)
        return arguments


class MoveRefused(ResponseError):
    """Redis refused a command of a move, for example because a key has the wrong type.

    The message of that move is still held and its `once` field is not set. Commands before the refused one have run,
    but the entries that they added (XADD) are deleted. The other moves of the batch are done.
    """

    def __init__(self, results: Sequence[bool | str]) -> None:
        """`results`: for each move of the batch True (settled), False (the lease was lost) or the error's text."""
        super().__init__(next(result for result in results if isinstance(result, str)))
        self.results = results


@dataclass(frozen=True, slots=True)
class MoveCall:
    """Moves that go to Redis in one script call."""

    deliveries: list[Delivery]
    arguments: list[Argument]


def split_into_calls(pairs: Iterable[tuple[Move, Delivery]]) -> Iterator[MoveCall]:
    """Divide moves into script calls of at most `MAX_CALL_ARGUMENTS`. A larger move gets a call of its own."""
    call = MoveCall([], [])
    for move, delivery in pairs:
        arguments = move.arguments(delivery.entry_id)
        if call.arguments and len(call.arguments) + len(arguments) > MAX_CALL_ARGUMENTS:
            yield call
            call = MoveCall([], [])
        call.deliveries.append(delivery)
        call.arguments.extend(arguments)
    if call.deliveries:
        yield call
