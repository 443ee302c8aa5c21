"""A callback must not grow dearer unseen: operations are counted, not seconds, so that any machine can tell."""

from dataclasses import asdict
from typing import Final

import pytest

from tests.bench.costs import BATCH, committed, measure
from tests.support.servers import RedisServer

GROWTH: Final = 1.1
SLACK: Final = {"sent": 10 / BATCH}
"""How a batch falls apart into commands depends on what comes together: so many commands more are no growth."""
ADVICE: Final = "if that is worth it, run: python -m tests.bench.costs --write"


@pytest.mark.server
async def test_a_callback_takes_no_more_operations_than_it_did(private_server: RedisServer) -> None:
    allowed = committed()
    costs = await measure(private_server.url)
    assert costs.keys() == allowed.keys()
    for name, cost in costs.items():
        was = asdict(allowed[name])
        limits = {key: value * GROWTH + SLACK.get(key, 0.0) for key, value in was.items()}
        grown = {key: (was[key], round(value, 2)) for key, value in asdict(cost).items() if value > limits[key]}
        assert not grown, f"{name}: from, to: {grown}; {ADVICE}"
