"""From a stored callback to a published decision, GetResult off.

Every pipeline verifies and classifies each callback and writes one event. All callbacks are stored before the worker
starts. Redis syncs its file every second (`appendfsync everysec`) unless the row says otherwise. All log warnings only.
"""

from functools import partial
from typing import Final

from tests.bench.numbers import Measure, Rows, Table, median_of
from tests.bench.peer import peers
from tests.bench.pipelines import EACH_STAGE, BareLoop, OurPipeline, PeerPipeline, measure_pipeline
from tests.bench.sizes import Sizes

TITLE: Final = "Stored callbacks to published decisions, GetResult off"
QUIET: Final = {"FACEID_RECONCILE": "never"}
OURS: Final = "ours, all stages in one process"
OURS_EACH: Final = "ours, a process for each stage"
OURS_ALWAYS: Final = "ours, one process, Redis synced at every write"
BARE: Final = "a bare redis-py loop, no work"
BARE_WORK: Final = "a bare redis-py loop, the same work"
SLOW: Final = "rq"


def measures(sizes: Sizes) -> dict[str, Measure]:
    """What is measured in each round, in turn."""
    count = sizes.queue
    made: dict[str, Measure] = {
        OURS: partial(measure_pipeline, pipeline=OurPipeline(settings=QUIET), count=count),
        OURS_EACH: partial(measure_pipeline, pipeline=OurPipeline(EACH_STAGE, QUIET), count=count),
        OURS_ALWAYS: partial(measure_pipeline, pipeline=OurPipeline(settings=QUIET), count=count, fsync="always"),
        BARE: partial(measure_pipeline, pipeline=BareLoop(work=False), count=count),
        BARE_WORK: partial(measure_pipeline, pipeline=BareLoop(work=True), count=count),
    }
    for peer in (*peers("queue"), *peers("batches")):
        made[peer.title] = partial(
            measure_pipeline, pipeline=PeerPipeline(peer), count=sizes.queue_slow if peer.name == SLOW else count
        )
    return made


def table(rows: Rows) -> Table:
    """The fastest row first."""
    ordered = sorted(rows, key=lambda name: -median_of(rows, name, "rate"))
    best = max((median_of(rows, name, "rate") for name in peer_names(rows)), default=0.0)
    return Table(
        TITLE,
        ("", "a second", "times the best peer", "of the bare loop", "CPU µs each", "of a core"),
        [
            (
                name,
                f"{median_of(rows, name, 'rate'):,.0f}",
                f"{median_of(rows, name, 'rate') / best:.2f}" if best else "",
                f"{median_of(rows, name, 'rate') / median_of(rows, BARE, 'rate'):.3f}" if BARE in rows else "",
                f"{median_of(rows, name, 'cpu_us'):,.0f}",
                f"{median_of(rows, name, 'share'):.2f}",
            )
            for name in ordered
        ],
    )


def peer_names(rows: Rows) -> list[str]:
    """The names of the rows of peers."""
    titles = {peer.title for peer in peers("queue")}
    return [name for name in rows if name in titles]
