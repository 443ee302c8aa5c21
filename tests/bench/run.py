"""`make bench`: what a callback costs, beside what it would cost elsewhere. All in one run, in turns.

ingress     an empty ASGI application on the same server, and ours, which stores before it answers
queue path  stored callbacks to published decisions, GetResult off: a Celery task, and ours with its ledger
client      GetResult with httpx, aiohttp and pyreqwest
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from rich.console import Console

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.stack import Stack
from tests.bench import http_clients
from tests.bench.measure import cpu_seconds, progress, table
from tests.e2e.load import bodies, post_all, wait_until

ROUNDS = 3
CALLBACKS = 3000
QUIET = {"FACEID_RECONCILE": "never"}


@contextmanager
def ingress(folder: Path) -> Iterator[tuple[str, Program, Redis]]:
    stack = Stack(folder, worker_stages=(), settings=QUIET)
    with stack.running():
        yield stack.notify_url, stack.ingress, Redis.from_url(stack.redis_url)


@contextmanager
def empty(folder: Path) -> Iterator[tuple[str, Program, None]]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    program = Program("empty", (sys.executable, "-m", "tests.bench.empty_app", str(port)), os.environ, folder)
    program.start()
    program.wait(lambda: is_listening("127.0.0.1", port))
    try:
        yield f"http://127.0.0.1:{port}/", program, None
    finally:
        program.stop()


def cost_of_ingress(folder: Path) -> float:
    with ingress(folder) as (url, program, redis):
        cost = cost_of_posts(url, program.pid)
        stored = redis.xlen("faceid.callbacks")
        assert stored == 2 * CALLBACKS, f"only {stored} stored"
        return cost


def cost_of_empty(folder: Path) -> float:
    with empty(folder) as (url, program, _):
        return cost_of_posts(url, program.pid)


def cost_of_posts(url: str, pid: int) -> float:
    """CPU microseconds a request, after as many to warm up."""
    asyncio.run(post_all(url, bodies(CALLBACKS), 64))
    before = cpu_seconds(pid)
    asyncio.run(post_all(url, bodies(CALLBACKS), 64))
    return (cpu_seconds(pid) - before) / CALLBACKS * 1e6


def cost_of_pipeline(folder: Path) -> float:
    """CPU microseconds of one worker with all stages for a callback, its start-up left out."""
    stack = Stack(folder, worker_stages=((),), settings=QUIET)
    with stack.running():
        redis, worker = Redis.from_url(stack.redis_url), stack.workers[0]
        before = cpu_seconds(worker.pid)
        asyncio.run(post_all(stack.notify_url, bodies(CALLBACKS), 64))
        wait_until(lambda: redis.xlen("faceid.decisions") == CALLBACKS, 120)
        return (cpu_seconds(worker.pid) - before) / CALLBACKS * 1e6


def cost_of_celery(folder: Path) -> float:
    """CPU microseconds of Celery's worker and its one child for a task, their start-up left out."""
    stack = Stack(folder, worker_stages=())
    assert stack.redis is not None
    stack.redis.start()
    env = {**os.environ, "BENCH_REDIS_URL": stack.redis_url}
    command = (sys.executable, "-m", "celery", "-A", "tests.bench.celery_peer", "worker", "-c", "1", "-l", "warning")
    worker = Program("celery", command, env, folder)
    worker.start()
    redis = Redis.from_url(stack.redis_url)
    try:
        os.environ["BENCH_REDIS_URL"] = stack.redis_url
        send = (
            "import sys; from tests.bench.celery_peer import decide\nfor body in sys.stdin: decide.delay(body.strip())"
        )
        subprocess.run([sys.executable, "-c", send], input=bodies(1)[0] + b"\n", env=env, check=True)
        wait_until(lambda: redis.llen("peer.decisions") == 1, 60)
        before = celery_cpu(worker.pid)
        subprocess.run([sys.executable, "-c", send], input=b"\n".join(bodies(CALLBACKS)), env=env, check=True)
        wait_until(lambda: redis.llen("peer.decisions") == CALLBACKS + 1, 120)
        return (celery_cpu(worker.pid) - before) / CALLBACKS * 1e6
    finally:
        worker.stop()
        stack.redis.stop()


def celery_cpu(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in children)


def main() -> None:
    console = Console()
    parts = {
        "ingress": {"an empty ASGI app": cost_of_empty, "ours": cost_of_ingress},
        "queue path": {"one Celery task": cost_of_celery, "ours, all stages, with ledger": cost_of_pipeline},
    }
    with tempfile.TemporaryDirectory() as home, progress() as bar:
        task = bar.add_task("measuring", total=ROUNDS * sum(map(len, parts.values())))
        costs: dict[str, dict[str, list[float]]] = {part: {name: [] for name in of} for part, of in parts.items()}
        for turn in range(ROUNDS):
            for part, of in parts.items():
                for number, (name, cost) in enumerate(of.items()):
                    bar.update(task, description=f"{part}: {name}")
                    costs[part][name].append(cost(Path(home) / f"{part}-{turn}-{number}"))
                    bar.advance(task)
    console.print(table("Ingress, 1.1 KB body, 64 connections", costs["ingress"], "request"))
    console.print(table("From a stored callback to a published decision", costs["queue path"], "callback"))
    http_clients.main()


if __name__ == "__main__":
    main()
