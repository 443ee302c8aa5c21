"""Every log line of every process says which service, worker and process wrote it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.support.stacks import new_stack
from tests.support.waiting import until

pytestmark = pytest.mark.server

PROCESSES = 2


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Simulator, ingress, and a supervisor with two workers."""
    arguments = ("--processes", str(PROCESSES))
    with new_stack(tmp_path_factory.mktemp("log-lines"), worker_stages=(arguments,)).running() as stack:
        yield stack


def lines(log_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file.read_text().splitlines()]


def pids_of(log_file: Path, event: str) -> set[int]:
    return {line["pid"] for line in lines(log_file) if line["event"] == event}


def test_every_line_of_ingress_worker_supervisor_and_simulator_has_service_worker_and_pid(stack: Stack) -> None:
    (supervisor,) = stack.workers
    until(lambda: len(pids_of(supervisor.log_file, "worker.started")) == PROCESSES, of=[supervisor])
    killed = min(pids_of(supervisor.log_file, "worker.started"))
    os.kill(killed, signal.SIGKILL)
    until(lambda: supervisor.logged("worker.died"), of=[supervisor])

    for program, service in ((stack.simulator, "simulator"), (stack.ingress, "ingress"), (supervisor, "worker")):
        written = lines(program.log_file)
        assert written, program.name
        assert {line["service"] for line in written} == {service}
    host = gethostname()
    assert {line["worker"] for line in lines(stack.ingress.log_file)} == {f"ingress@{host}"}
    assert {line["worker"] for line in lines(stack.simulator.log_file)} == {f"simulator@{host}"}
    workers = {f"worker-{number}@{host}" for number in range(1, PROCESSES + 1)}
    assert {line["worker"] for line in lines(supervisor.log_file)} == {f"supervisor@{host}", *workers}
    assert {line["pid"] for line in lines(stack.ingress.log_file)} == {stack.ingress.pid}
    assert {line["pid"] for line in lines(stack.simulator.log_file)} == {stack.simulator.pid}
    (died,) = (line for line in lines(supervisor.log_file) if line["event"] == "worker.died")
    assert (died["pid"], died["child_pid"]) == (supervisor.pid, killed)
