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
from tests.support.redis_clients import open_redis
from tests.support.result_makers import decision, publish
from tests.support.waiting import until

pytestmark = pytest.mark.server

EXAMPLES = DOCS / "examples"
COUNT = 60


@dataclass(frozen=True)
class Example:
    """A file, and a broker that it reads from."""

    file: str
    broker: str
    published_at: str = ""
    """Prefix of the URL that the publisher needs."""
    named: bool = False
    """Whether each process has a name."""
    ends: bool = True
    """Whether it ends when its connection breaks."""
    takes: frozenset[Outcome] = frozenset(Outcome)
    prompt: bool = True
    """Whether unacknowledged messages of a killed process are delivered again at once."""

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
        if script.suffix == ".mjs":  # Node.js looks for packages in the script's own folder
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
    """Outcomes by biz_id, as the example has stored them. Fails when one is stored twice."""
    kept = folder / "verdicts"
    if kept.is_dir():
        texts = [file.read_text() for file in kept.glob("*.json")]
        documents = [json.loads(text) for text in texts if text.endswith("}")]  # the others are not complete yet
        rows = [(document["biz_id"], document["outcome"]) for document in documents]
    elif kept.exists():
        connection = sqlite3.connect(kept, timeout=60)
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'verdicts'").fetchone()
        rows = connection.execute("SELECT biz_id, outcome FROM verdicts").fetchall() if tables[0] else []
        connection.close()
    else:
        rows = []
    assert len(dict(rows)) == len(rows)
    return dict(rows)


MADE = [decision(number, list(Outcome)[number % len(Outcome)]) for number in range(COUNT)]
PROBE = decision(COUNT, Outcome.REJECTED)
"""A decision that every example takes."""


def expected(example: Example) -> dict[str, str]:
    return {each.biz_id: each.outcome for each in (*MADE, PROBE) if each.outcome in example.takes}


def test_the_example_for_lists_says_which_url_it_needs_when_the_results_are_a_stream(
    redis_url: str, start: Start
) -> None:
    publish(redis_url, PROBE)
    program = start(Example("kombu_stock.py", "redis"), redis_url)
    until(lambda: program.exit_code is not None, what="its end")
    assert program.exit_code == 1
    assert program.logged("Set FACEID_RESULTS_URL=stock+redis://")
    assert not program.logged("Traceback")


def test_the_example_for_lists_takes_the_url_of_the_setting(redis_url: str, start: Start) -> None:
    example = Example("kombu_stock.py", "redis", published_at="stock+")
    program = start(example, f"stock+{redis_url}")
    wait_until_it_reads(example, redis_url, program)


def wait_until_it_reads(example: Example, url: str, program: Program) -> None:
    """Publish one decision until the example prints it: a queue that does not exist yet stores nothing."""

    def reads() -> bool:
        publish(example.published_at + url, PROBE)
        return program.logged(PROBE.id)

    until(reads, what="the example to read", of=[program])


def wait_until_it_blocks(url: str, program: Program) -> None:
    """On Redis, wait until it is blocked in a read: a broken connection is noticed there as an error of a command."""
    if url.startswith("redis:"):
        with open_redis(url) as redis:
            until(lambda: redis.info("clients")["blocked_clients"] > 0, what="a blocked read", of=[program])


def wait_for_verdicts(example: Example, folder: Path, program: Program) -> None:
    until(lambda: verdicts(folder) == expected(example), what="every verdict", of=[program])


@pytest.fixture
def url(example: Example, request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{example.broker}_url")
    return url


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_stores_each_decision_once_and_prints_it(
    example: Example, url: str, start: Start, tmp_path: Path
) -> None:
    program = start(example, url)
    wait_until_it_reads(example, url, program)
    publish(example.published_at + url, *MADE, MADE[0])
    wait_for_verdicts(example, tmp_path, program)
    lines = [f"{each.id} {each.outcome}" for each in MADE if each.outcome in example.takes]
    until(lambda: all(map(program.logged, lines)), what="every printed line", of=[program])
    program.stop()


@pytest.mark.parametrize("example", [each for each in ALL if each.prompt], ids=str)
def test_a_killed_example_loses_no_decision(example: Example, url: str, start: Start, tmp_path: Path) -> None:
    program = start(example, url)
    wait_until_it_reads(example, url, program)
    publish(url, *MADE)
    until(lambda: len(verdicts(tmp_path)) > 1, what="the first verdicts", of=[program])
    program.kill()
    program.start()
    wait_for_verdicts(example, tmp_path, program)
    program.stop()


@pytest.mark.parametrize("example", ALL, ids=str)
def test_an_example_connects_again_or_ends_when_its_connection_breaks(
    example: Example, url: str, start: Start, tmp_path: Path
) -> None:
    parts = urlsplit(url)
    with Proxy(parts.port or 0) as proxy:
        program = start(example, url.replace(f":{parts.port}", f":{proxy.port}"))
        wait_until_it_reads(example, url, program)
        wait_until_it_blocks(url, program)
        proxy.cut()
        if example.ends:
            until(lambda: not program.running, what="the end of the example")
            assert program.exit_code != 0
            program.start()
        publish(example.published_at + url, *MADE)
        wait_for_verdicts(example, tmp_path, program)
        program.stop()


def test_every_example_is_run() -> None:
    assert {each.file for each in ALL} == {file.name for file in EXAMPLES.iterdir() if file.is_file()}
