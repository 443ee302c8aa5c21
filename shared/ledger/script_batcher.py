"""Lua scripts called by the hundred: calls of one script that are made at the same time run as one command.

A script in a `.lua` file is written for one call, with its own KEYS and ARGV. Here it becomes the body of a function
that is called in a loop: words and replies are then most of what a call costs.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Call = tuple[str, Sequence[str], Sequence[Any]]
"""The script's name, its keys, its words."""

TOGETHER: Final = 100
"""Calls in one command at most: Redis does nothing else meanwhile."""
_LOOP: Final = """
local function call(KEYS, ARGV)
%s
end
local calls, answers = tonumber(ARGV[1]), {}
local keys, words = #KEYS / calls, (#ARGV - 1) / calls
for n = 0, calls - 1 do
    local done, answer = pcall(call, {unpack(KEYS, n * keys + 1, n * keys + keys)},
        {unpack(ARGV, n * words + 2, n * words + words + 1)})
    if not done and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
    answers[n + 1] = answer
end
return answers
"""


class ScriptBatcher:
    """The scripts of a folder, by their files' names."""

    def __init__(self, redis: "Redis", folder: Path) -> None:
        self._redis = redis
        self._texts: Mapping[str, str] = {path.stem: _LOOP % path.read_text() for path in folder.glob("*.lua")}
        self._shas: dict[str, str] = {}

    async def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """The answers in the order of the calls, an exception standing for a call that failed.

        Calls of one script run in their order, those of different scripts in any. Raises `redis.RedisError` when
        Redis can't be reached: then any of them may have run.
        """
        answers: list[Any] = [None] * len(calls)
        left = list(_together(calls))
        for _ in range(2):  # the second time for what Redis had forgotten
            replies = await self._send([[calls[place] for place in places] for places in left])
            for places, reply in zip(left, replies, strict=True):
                each = [reply] * len(places) if isinstance(reply, Exception) else reply
                for place, answer in zip(places, each, strict=True):
                    answers[place] = answer
            left = [places for places, reply in zip(left, replies, strict=True) if isinstance(reply, NoScriptError)]
            if not left:
                break
            self._shas.clear()
        return answers

    async def _send(self, groups: Sequence[Sequence[Call]]) -> Sequence[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for group in groups:
                keys = [key for _, its_keys, _ in group for key in its_keys]
                words = [word for _, _, its_words in group for word in its_words]
                pipe.execute_command("EVALSHA", await self._sha(group[0][0]), len(keys), *keys, len(group), *words)
            replies: Sequence[Any] = await pipe.execute(raise_on_error=False)
            return replies

    async def _sha(self, name: str) -> str:
        if name not in self._shas:
            self._shas[name] = await self._redis.script_load(self._texts[name])
        return self._shas[name]


def _together(calls: Sequence[Call]) -> Iterator[Sequence[int]]:
    """The places of calls that may run as one command: of one script, alike in the number of keys and words."""
    alike: defaultdict[tuple[str, int, int], list[int]] = defaultdict(list)
    for place, (name, keys, words) in enumerate(calls):
        alike[name, len(keys), len(words)].append(place)
    for places in alike.values():
        size = math.ceil(len(places) / math.ceil(len(places) / TOGETHER))
        for start in range(0, len(places), size):
            yield places[start : start + size]
