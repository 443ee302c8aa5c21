"""Everybody does the same work: each one's real worker on the vectors. `make bench` runs this first."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.bench.entrants import ALL_STAGES, EACH_STAGE, BareLoop, Entrant, OfPeer, Ours, redis_server, running
from tests.bench.parts.queue import QUIET
from tests.bench.peer import peers
from tests.bench.watching import repeated
from tests.bench.work import judged
from tests.support.load import CALLBACKS, bodies
from tests.support.waiting import until

pytestmark = pytest.mark.server
TIMES = ("received_at", "decided_at")
VECTORS = [body.decode() for body in bodies(len(CALLBACKS), list(CALLBACKS))]
FORGED = VECTORS[0].replace("&sign=", "&sign=0")
ENTRANTS: dict[str, Entrant] = {
    "ours": Ours(ALL_STAGES, QUIET),
    "ours, a process for each stage": Ours(EACH_STAGE, QUIET),
    "bare loop": BareLoop(work=True),
    **{peer.name: OfPeer(peer) for peer in (*peers("queue"), *peers("batches"))},
}


def decision(event: bytes) -> dict[str, Any]:
    """What an event says, but for the times."""
    said: dict[str, Any] = json.loads(event)["data"]
    return {name: value for name, value in said.items() if name not in TIMES}


def by_case(events: list[bytes]) -> dict[str, dict[str, Any]]:
    return {said["biz_id"]: said for said in map(decision, events)}


@pytest.mark.parametrize("entrant", ENTRANTS.values(), ids=ENTRANTS)
def test_every_entrant_decides_the_vectors_alike(entrant: Entrant, tmp_path: Path) -> None:
    expected = by_case([event for event in map(judged, VECTORS) if event])
    assert len({said["outcome"] for said in expected.values()}) == 5
    with redis_server(tmp_path, "everysec") as server, Redis.from_url(server.url) as redis:
        entrant.fill(server.url, [FORGED, *VECTORS])
        with running(entrant.programs(server.url, tmp_path)):
            until(lambda: entrant.done(redis) >= len(expected), 60)
            assert repeated(lambda: entrant.events(redis), len(expected), allowed=False) == 0
            assert by_case(entrant.events(redis)) == expected
