"""Every pipeline does the same work: its workers make the same decisions. `make bench` runs this first."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.bench.measuring import count_repeats
from tests.bench.parts.queue import QUIET
from tests.bench.peer import peers
from tests.bench.pipelines import (
    ALL_STAGES,
    EACH_STAGE,
    BareLoop,
    OurPipeline,
    PeerPipeline,
    Pipeline,
    redis_server,
    running,
)
from tests.bench.work import decide_callback
from tests.support.load import CALLBACKS, bodies
from tests.support.waiting import until

pytestmark = pytest.mark.server
TIMES = ("received_at", "decided_at")
VECTORS = [body.decode() for body in bodies(len(CALLBACKS), list(CALLBACKS))]
FORGED = VECTORS[0].replace("&sign=", "&sign=0")
PIPELINES: dict[str, Pipeline] = {
    "ours": OurPipeline(ALL_STAGES, QUIET),
    "ours, a process for each stage": OurPipeline(EACH_STAGE, QUIET),
    "bare loop": BareLoop(work=True),
    **{peer.name: PeerPipeline(peer) for peer in (*peers("queue"), *peers("batches"))},
}


def decision(event: bytes) -> dict[str, Any]:
    """The decision of an event, without its times."""
    data: dict[str, Any] = json.loads(event)["data"]
    return {name: value for name, value in data.items() if name not in TIMES}


def by_case(events: list[bytes]) -> dict[str, dict[str, Any]]:
    return {data["biz_id"]: data for data in map(decision, events)}


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_every_pipeline_makes_the_same_decisions(pipeline: Pipeline, tmp_path: Path) -> None:
    expected = by_case([event for event in map(decide_callback, VECTORS) if event])
    assert len({data["outcome"] for data in expected.values()}) == 5
    with redis_server(tmp_path, "everysec") as server, Redis.from_url(server.url) as redis:
        pipeline.fill(server.url, [FORGED, *VECTORS])
        with running(pipeline.programs(server.url, tmp_path)):
            until(lambda: pipeline.done(redis) >= len(expected), 60)
            assert count_repeats(lambda: pipeline.events(redis), len(expected), allowed=False) == 0
            assert by_case(pipeline.events(redis)) == expected
