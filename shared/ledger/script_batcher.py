"""Batch Lua scripts: calls of one script that are made at the same time run as one command.

A script in a `.lua` file is written for one call, with its own KEYS and ARGV. Here it becomes the body of a function
that a loop calls for each call of the batch, so the cost of a command is shared by the batch.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

Call = tuple[str, Sequence[str], Sequence[Any]]
"""The script's name, its keys and its arguments."""

MAX_CALLS: Final = 100
"""Most calls in one command: Redis runs nothing else until it is done."""
_LOOP: Final = """
local function call(KEYS, ARGV)
%s
end
local calls, answers = tonumber(ARGV[1]), {}
local keys, arguments = #KEYS / calls, (#ARGV - 1) / calls
for n = 0, calls - 1 do
    local done, answer = pcall(call, {unpack(KEYS, n * keys + 1, n * keys + keys)},
        {unpack(ARGV, n * arguments + 2, n * arguments + arguments + 1)})
    if not done and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
    answers[n + 1] = answer
end
return answers
"""


class ScriptBatcher:
    """Runs the `.lua` scripts of a folder. A script's name is its file name without `.lua`."""

    def __init__(self, redis: "Redis", folder: Path, functions: str = "") -> None:
        """`functions`: Lua functions that all scripts of the folder may call."""
        self._redis = redis
        self._texts: Mapping[str, str] = {
            path.stem: functions + _LOOP % path.read_text() for path in folder.glob("*.lua")
        }
        self._shas: dict[str, str] = {}

    async def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """Run calls. Returns their replies in the order of the calls; the reply of a failed call is an exception.

        Calls of one script run in their order. Calls of different scripts run in any order. Raises `redis.RedisError`
        when Redis is unreachable: any of the calls may have run.
        """
        answers: list[Any] = [None] * len(calls)
        remaining = list(_batches(calls))
        for _ in range(2):  # the second time for scripts that Redis no longer had
            replies = await self._send([[calls[index] for index in batch] for batch in remaining])
            for batch, reply in zip(remaining, replies, strict=True):
                each = [reply] * len(batch) if isinstance(reply, Exception) else reply
                for index, answer in zip(batch, each, strict=True):
                    answers[index] = _named(answer)
            remaining = [
                batch for batch, reply in zip(remaining, replies, strict=True) if isinstance(reply, NoScriptError)
            ]
            if not remaining:
                break
            self._shas.clear()
        return answers

    async def _send(self, groups: Sequence[Sequence[Call]]) -> Sequence[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for group in groups:
                keys = [key for _, call_keys, _ in group for key in call_keys]
                arguments = [argument for _, _, call_arguments in group for argument in call_arguments]
                sha = await self._sha(group[0][0])
                pipe.execute_command("EVALSHA", sha, len(keys), *keys, len(group), *arguments)
            replies: Sequence[Any] = await pipe.execute(raise_on_error=False)
            return replies

    async def _sha(self, name: str) -> str:
        if name not in self._shas:
            self._shas[name] = await self._redis.script_load(self._texts[name])
        return self._shas[name]


def _batches(calls: Sequence[Call]) -> Iterator[Sequence[int]]:
    """Indexes of calls that may run as one command: same script, same number of keys and of arguments."""
    groups: defaultdict[tuple[str, int, int], list[int]] = defaultdict(list)
    for index, (name, keys, arguments) in enumerate(calls):
        groups[name, len(keys), len(arguments)].append(index)
    for indexes in groups.values():
        size = math.ceil(len(indexes) / math.ceil(len(indexes) / MAX_CALLS))
        for start in range(0, len(indexes), size):
            yield indexes[start : start + size]


def _named(answer: Any) -> Any:
    """The answer. Redis before 7 names no error code when a script's write is refused because Redis is full."""
    if isinstance(answer, ResponseError) and "OOM command not allowed" in str(answer):
        return OutOfMemoryError(str(answer))
    return answer
