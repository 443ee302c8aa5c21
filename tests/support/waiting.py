"""Waiting for conditions."""

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], seconds: float = 5) -> None:
    """Return when the condition holds; TimeoutError when it does not within the time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for may be another thread's, and has no event
            await asyncio.sleep(0.001)
