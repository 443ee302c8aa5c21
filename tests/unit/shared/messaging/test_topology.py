"""The topology: every queue is written and read, and no stage returns a result that its row does not list."""

import ast
import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from ingress.admission import Admission
from ingress.store import Store
from ingress.watch import Watch
from shared.messaging.async_publisher import AsyncPublisher
from shared.messaging.message import Message
from shared.messaging.topology import BY_QUEUE, BY_STAGE, INNER_QUEUES, RESULT_QUEUES, STAGES, TOPOLOGY, Row, queue_name
from tests.support.payloads import new_envelope
from workers.runtime import runner as runner_module
from workers.stages import classify, publish, reconcile, verify

EXITS = {"Drop": "drop", "Unverified": "unverified", "Delay": "delay", "DeadLetter": "dead"}
HOMES = {"verify": verify, "reconcile": reconcile, "classify": classify, "publish": publish}
rows = pytest.mark.parametrize("row", TOPOLOGY, ids=lambda row: row.stage)


class Remembering:
    """A publisher that records the messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> Sequence[None]:
        self.messages += messages
        return [None] * len(messages)


def queues_of_the_ingress() -> set[str]:
    publisher = Remembering()
    admission = Admission(max_backlog=1, max_memory_share=1.0)
    store = Store(cast("AsyncPublisher", publisher), cast("Watch", None), admission, "p", timeout=1.0)
    asyncio.run(store.put(new_envelope("default", "notify", "POST", b"body", "", "", 0.0)))
    return {message.queue for message in publisher.messages}


def results_in(tree: ast.AST) -> set[str]:
    """The names of `stage_result.NAME` in a piece of code."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "stage_result"
    }


def classes(module: object) -> Iterator[ast.ClassDef]:
    source = Path(str(vars(module)["__file__"])).read_text()
    return (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))


def exits_taken(row: Row) -> set[str]:
    """The results in the code of a stage, and those that the runner makes for every stage."""
    (stage,) = (node for node in classes(HOMES[row.stage]) if node.name.lower() == row.stage)
    (runner,) = (node for node in classes(runner_module) if node.name == "Runner")
    return {EXITS[name] for name in results_in(stage) | results_in(runner) if name in EXITS}


@rows
def test_every_queue_written_is_read_by_a_stage_or_is_a_result_queue(row: Row) -> None:
    assert set(row.writes) <= {*INNER_QUEUES, *RESULT_QUEUES}


@rows
def test_every_queue_read_is_written_by_a_stage_or_by_the_ingress(row: Row) -> None:
    written = {queue_name("p", queue) for other in TOPOLOGY for queue in other.writes}
    assert queue_name("p", row.reads) in written | queues_of_the_ingress()


def test_the_ingress_writes_one_queue_and_a_stage_reads_it() -> None:
    (queue,) = queues_of_the_ingress()
    assert queue in {queue_name("p", row.reads) for row in TOPOLOGY}


def test_no_stage_reads_a_result_queue() -> None:
    assert not set(RESULT_QUEUES) & set(INNER_QUEUES)


def test_no_two_stages_read_the_same_queue() -> None:
    assert len(BY_QUEUE) == len(BY_STAGE) == len(STAGES) == len(TOPOLOGY)


@rows
def test_a_stage_has_one_name_everywhere(row: Row) -> None:
    (stage,) = (node for node in classes(HOMES[row.stage]) if node.name.lower() == row.stage)
    assert ast.get_docstring(stage)


@rows
def test_a_stage_returns_no_result_that_is_not_in_its_row(row: Row) -> None:
    assert exits_taken(row) <= row.exits


@rows
def test_a_stage_that_forwards_writes_one_inner_queue(row: Row) -> None:
    (stage,) = (node for node in classes(HOMES[row.stage]) if node.name.lower() == row.stage)
    assert ("Forward" in results_in(stage)) == (set(row.writes) <= set(INNER_QUEUES))
    assert "Forward" not in results_in(stage) or len(row.writes) == 1
