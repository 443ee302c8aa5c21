"""The probes of real workers: what an orchestrator learns, and what the supervisor does by itself."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import free_port
from deploy.local.program import Program
from deploy.local.stack import FACEID, Stack
from tests.support.load import bodies, decisions, post_all
from tests.support.probes import probe
from tests.support.servers import RedisServer
from tests.support.stacks import new_stack
from tests.support.waiting import eventually, until

pytestmark = pytest.mark.server

Start = Callable[..., tuple[Program, str]]


@pytest.fixture
def stack(private_server: RedisServer, tmp_path: Path) -> Iterator[Stack]:
    """Everything but workers."""
    with new_stack(tmp_path, redis_url=private_server.url, worker_stages=()).running() as stack:
        yield stack


@pytest.fixture
def start(stack: Stack) -> Iterator[Start]:
    """Start a worker; returns it and the URL of its probes."""
    with ExitStack() as cleanup:

        def begin(*arguments: str, program: Sequence[str] = FACEID, **env: str) -> tuple[Program, str]:
            address = f"127.0.0.1:{free_port()}"
            settings = stack.env | {"FACEID_ADMIN_LISTEN": address} | env
            worker = Program("worker", (*program, "worker", *arguments), settings, stack.folder)
            cleanup.callback(worker.kill)
            worker.start()
            return worker, f"http://{address}"

        yield begin


def events(worker: Program, name: str) -> list[dict[str, Any]]:
    complete = worker.log_file.read_text().rpartition("\n")[0].splitlines()
    return [line for line in map(json.loads, complete) if line["event"] == name]


def test_a_worker_whose_redis_hangs_is_alive_and_not_ready(start: Start, private_server: RedisServer) -> None:
    worker, url = start()
    until(lambda: probe(url, "/readyz") == (200, "ready\n"), of=[worker])
    private_server.pause()
    try:
        until(lambda: probe(url, "/readyz") == (503, "not ready: the broker does not answer\n"), of=[worker])
        assert probe(url, "/livez") == (200, "alive\n")
    finally:
        private_server.resume()
    until(lambda: probe(url, "/readyz")[0] == 200, of=[worker])


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")])
def test_a_worker_that_starts_before_its_servers_is_alive_and_waits(
    arguments: tuple[str, ...], start: Start, private_server: RedisServer
) -> None:
    private_server.pause()
    try:
        worker, url = start(*arguments, FACEID_RESULTS_URL=private_server.url.removesuffix("/0") + "/1")
        until(lambda: worker.logged("broker.unavailable"), of=[worker])
        until(lambda: probe(url, "/readyz")[0] == 503, of=[worker])
        assert probe(url, "/livez") == (200, "alive\n")
        assert not worker.logged("worker.started")
    finally:
        private_server.resume()
    until(lambda: probe(url, "/readyz") == (200, "ready\n"), of=[worker])


@pytest.mark.parametrize(("part", "named"), [("loop", "the event loop"), ("pump", "the pump")])
async def test_a_worker_whose_loop_or_pump_hangs_is_not_alive(
    part: str, named: str, start: Start, stack: Stack
) -> None:
    worker, url = start(program=(sys.executable, "-m", "tests.e2e.stuck_worker"), STUCK=part)
    await eventually(lambda: probe(url, "/metrics")[0] == 200, of=[worker])
    await post_all(stack.notify_url, bodies(1))
    await eventually(lambda: probe(url, "/livez")[0] == 503, of=[worker])
    assert probe(url, "/livez")[1].startswith(f"not alive: {named} has not turned for ")


async def test_a_supervisor_replaces_a_stopped_worker_and_answers_for_all(
    start: Start, stack: Stack, private_server: RedisServer
) -> None:
    supervisor, url = start("--processes", "2")
    await eventually(lambda: probe(url, "/readyz") == (200, "ready\n"), of=[supervisor])
    await eventually(lambda: len(events(supervisor, "worker.started")) == 2, of=[supervisor])
    os.kill(stopped := events(supervisor, "worker.started")[0]["pid"], signal.SIGSTOP)
    await post_all(stack.notify_url, bodies(20))
    await eventually(lambda: events(supervisor, "worker.killed"), of=[supervisor])
    assert events(supervisor, "worker.killed")[0]["child_pid"] == stopped
    assert probe(url, "/livez") == (200, "alive\n")
    await eventually(lambda: len(events(supervisor, "worker.started")) == 3, of=[supervisor])
    with private_server.client() as redis:
        await eventually(lambda: len(decisions(redis)) == 20, of=[supervisor])
    names = {line["worker"].partition("@")[0] for line in events(supervisor, "worker.started")}
    assert names == {"worker-1", "worker-2"}


def test_a_hangup_restarts_real_workers_one_by_one(start: Start) -> None:
    supervisor, url = start("--processes", "2")
    until(lambda: len(events(supervisor, "worker.started")) == 2, of=[supervisor])
    until(lambda: probe(url, "/readyz")[0] == 200, of=[supervisor])
    supervisor.send(signal.SIGHUP)
    until(lambda: events(supervisor, "supervisor.restarted"), of=[supervisor])
    order = [line["event"] for name in ("worker.started",) for line in events(supervisor, name)]
    assert len(order) == 4
    assert supervisor.stop() == 0
    assert len(events(supervisor, "worker.ended")) == 4
