"""The examples of docs/examples, run as their readers would: in a folder of their own, against real brokers."""

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local.program import Program
from shared.events.decision import Outcome
from tests.support.npm import installed
from tests.support.paths import DOCS, ROOT
from tests.support.proxies import Proxy
from tests.support.result_makers import decision, publish
from tests.support.waiting import until

pytestmark = pytest.mark.server

EXAMPLES = DOCS / "examples"
COUNT = 60
SECONDS = 90.0


@dataclass(frozen=True)
class Example:
    """A file, and the broker it is for."""

    file: str
    broker: str
    published_at: str = ""
    """Before the URL of the publisher, where it differs."""
    named: bool = False
    """Whether each process has a name."""
    ends: bool = True
    """Whether it ends with its connection."""
    takes: frozenset[Outcome] = frozenset(Outcome)
    prompt: bool = True
    """Whether what it held when it was killed comes again at once."""

    def __str__(self) -> str:
        return f"{self.file}, {self.broker}"


REDIS = [
    Example("ours.py", "redis", ends=False, prompt=False),  # after a lease of 30 s
    Example("kombu_stock.py", "redis", published_at="stock+", prompt=False),  # after an hour, or never
    Example("redis_streams.py", "redis", named=True, ends=False),
    Example("redis_streams.mjs", "redis", named=True),
]
RABBIT = [
    Example("ours.py", "rabbit", ends=False),
    Example("kombu_stock.py", "rabbit"),
    Example("pika_rabbitmq.py", "rabbit", takes=frozenset({Outcome.REJECTED})),
    Example("amqplib_rabbitmq.mjs", "rabbit"),
]
ALL = [*REDIS, *RABBIT]

Start = Callable[[Example, str], Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an example at a URL."""

    def start(example: Example, url: str) -> Program:
        script = EXAMPLES / example.file
        command = [sys.executable, str(script)]
        if script.suffix == ".mjs":  # which looks for its packages beside itself
            (tmp_path / "node_modules").symlink_to(installed() / "node_modules")
            script = Path(shutil.copy(script, tmp_path))
            command = ["node", str(script)]
        program = Program(
            "example",
            [*command, url, str(tmp_path / "verdicts"), *(["worker-1"] if example.named else [])],
            {**os.environ, "PYTHONPATH": str(ROOT)},
            tmp_path,
        )
        program.start()
        programs.append(program)
        return program

    programs: list[Program] = []
    yield start
    for program in programs:
        program.kill()


def verdicts(folder: Path) -> dict[str, str]:
    """Outcomes by biz_id, as the example has kept them; fails when one is there twice."""
    kept = folder / "verdicts"
    if kept.is_dir():
        texts = [file.read_text() for file in kept.glob("*.json")]
        documents = [json.loads(text) for text in texts if text.endswith("}")]  # others are being written
        rows = [(document["biz_id"], document["outcome"]) for document in documents]
    elif kept.exists():
        connection = sqlite3.connect(kept)
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'verdicts'").fetchone()
        rows = connection.execute("SELECT biz_id, outcome FROM verdicts").fetchall() if tables[0] else []
        connection.close()
    else:
        rows = []
    assert len(dict(rows)) == len(rows)
    return dict(rows)


MADE = [decision(number, list(Outcome)[number % len(Outcome)]) for number in range(COUNT)]
PROBE = decision(COUNT, Outcome.REJECTED)
"""What every example takes."""


def expected(example: Example) -> dict[str, str]:
    return {each.biz_id: each.outcome for each in (*MADE, PROBE) if each.outcome in example.takes}


def wait_until_it_reads(example: Example, url: str, program: Program) -> None:
    """Publish one decision again and again: a queue that does not exist yet collects nothing."""

    def reads() -> bool:
        assert program.running, program.log_file.read_text()
        publish(example.published_at + url, PROBE)
        return program.logged(PROBE.id)

    until(reads, SECONDS)


@pytest.fixture
def url(example: Example, request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{example.broker}_url")
    return url


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_keeps_each_decision_once_and_prints_it(
    example: Example, url: str, start: Start, tmp_path: Path
) -> None:
    program = start(example, url)
    wait_until_it_reads(example, url, program)
    publish(example.published_at + url, *MADE, MADE[0])
    until(lambda: verdicts(tmp_path) == expected(example), SECONDS)
    until(lambda: all(program.logged(f"{each.id} {each.outcome}") for each in MADE if each.outcome in example.takes))
    program.stop()


@pytest.mark.parametrize("example", [each for each in ALL if each.prompt], ids=str)
def test_an_example_that_was_killed_loses_nothing(example: Example, url: str, start: Start, tmp_path: Path) -> None:
    program = start(example, url)
    wait_until_it_reads(example, url, program)
    publish(url, *MADE)
    until(lambda: len(verdicts(tmp_path)) > 1, SECONDS)
    program.kill()
    program.start()
    until(lambda: verdicts(tmp_path) == expected(example), SECONDS)
    program.stop()


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_ends_with_its_connection_or_makes_a_new_one(
    example: Example, url: str, start: Start, tmp_path: Path
) -> None:
    parts = urlsplit(url)
    with Proxy(parts.port or 0) as proxy:
        program = start(example, url.replace(f":{parts.port}", f":{proxy.port}"))
        wait_until_it_reads(example, url, program)
        proxy.cut()
        if example.ends:
            until(lambda: not program.running, SECONDS)
            assert program.exit_code != 0
            program.start()
        publish(example.published_at + url, *MADE)
        until(lambda: verdicts(tmp_path) == expected(example), SECONDS)
        program.stop()


def test_every_example_is_run() -> None:
    assert {each.file for each in ALL} == {file.name for file in EXAMPLES.iterdir() if file.is_file()}
