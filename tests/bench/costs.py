"""Count the operations of one callback. They are the same on every machine, so a test can check them.

Redis counts the commands that are sent, and those inside scripts. This process counts function calls, and memory while
a message is being processed. `python -m tests.bench.costs` prints them, `--write` updates costs.json.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

from redis import Redis
from rich.console import Console
from rich.table import Table

from deploy.local.redis_server import RedisServer
from ingress.http.refusals import Refusals
from ingress.serve import build, open_store
from shared.accounts import load_accounts
from shared.brokers.factory import open_publisher
from shared.ledger.redis_client import open_redis
from shared.logs import configure
from shared.messaging.topology import INNER_QUEUES, STAGES, Stage
from shared.settings import Settings
from tests.support.biz_ids import ISSUED_AT
from tests.support.load import bodies
from tests.support.payloads import CALLBACKS, FORM, new_envelope
from workers.bootstrap import make_ledger, make_stages
from workers.decisioning.policy import Policy
from workers.faceid.getresult_client import Answer, Answered, Failed
from workers.runtime.full_ledger import FullLedger
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settler
from workers.sources.factory import open_source
from workers.stages.evidence_reader import GetResultCall

COMMITTED: Final = Path(__file__).with_name("costs.json")
END: Final = "end of the batch"
BATCH: Final = 200
"""Callbacks at once: as many as a worker reads, so that they share the costs of a batch as in production."""
NOW: Final = ISSUED_AT + 86_400.0
SECRET: Final = "test_api_secret_0001"
ANSWER: Final = json.dumps({k: v for k, v in CALLBACKS["clean-pass"].items() if k != "biz_info"}).encode()

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one callback."""

    commands: float
    """Redis commands, those inside scripts too."""
    sent: float
    """Commands sent. There are at most as many round trips."""
    calls: float
    """Functions called in this process."""
    kib: float
    """Memory at the peak of the batch."""


class Work:
    """Steps that process a batch of callbacks. They can be repeated with a new batch."""

    def __init__(self, redis: "Redis", prepare: Callable[[Sequence[bytes]], None], steps: Sequence[Step]) -> None:
        self._redis = redis
        self._prepare = prepare
        self._steps = steps
        self._first = 1

    async def cost(self) -> Cost:
        """Measure each cost in a separate turn, after a turn to warm up."""
        await self._turn()
        commands, sent = await self._server_counts()
        return Cost(commands, sent, await self._calls(), await self._kib())

    async def _turn(self) -> None:
        self._prepare(bodies(BATCH, first=self._first))
        self._first += BATCH
        for step in self._steps:
            await step()

    async def _server_counts(self) -> tuple[float, float]:
        """Count with MONITOR, which distinguishes the commands of scripts from those that were sent."""
        self._prepare(bodies(BATCH, first=self._first))
        self._first += BATCH
        with self._redis.monitor() as monitor:
            for step in self._steps:
                await step()
            self._redis.echo(END)
            asked = list(takewhile(lambda row: END not in row["command"], monitor.listen()))
        sent = [row for row in asked if row["client_type"] != "lua"]
        return len(asked) / BATCH, len(sent) / BATCH

    async def _calls(self) -> float:
        count = 0

        def note(_frame: FrameType, event: str, _arg: object) -> None:
            nonlocal count
            count += event in {"call", "c_call"}

        self._prepare(bodies(BATCH, first=self._first))
        self._first += BATCH
        for step in self._steps:
            sys.setprofile(note)
            await step()
            sys.setprofile(None)
        return count / BATCH

    async def _kib(self) -> float:
        self._prepare(bodies(BATCH, first=self._first))
        self._first += BATCH
        tracemalloc.start()
        for step in self._steps:
            await step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / BATCH / 1024


async def _get_result(_account: object, _biz_id: str) -> Answer:
    return Answered(ANSWER)


async def _no_result(_account: object, _biz_id: str) -> Answer:
    return Failed("TIMEOUT")


def _settings(url: str, **more: Any) -> Settings:
    known = {
        "redis_url": url,
        "api_key": "key",
        "api_secrets": SECRET,
        "base_url": "http://127.0.0.1:1",
        "store_timeout_seconds": 30,
    }
    return Settings(_env_file=None, **{**known, **more})


def _store(settings: Settings) -> Callable[[Sequence[bytes]], None]:
    publisher = open_publisher(settings.broker_url, 5.0, prefix=settings.prefix, queues=INNER_QUEUES)

    def store(batch: Sequence[bytes]) -> None:
        envelopes = [new_envelope("default", "notify", "POST", body, FORM, "", NOW) for body in batch]
        publisher.publish([envelope.to_message(f"{settings.prefix}.callbacks") for envelope in envelopes])

    return store


def _worker(
    settings: Settings,
    names: Sequence[Stage],
    redis: "Redis",
    stack: AsyncExitStack,
    get_result: GetResultCall = _get_result,
) -> Step:
    """A worker's turns until a batch is done: read messages, run these stages, settle. The stack closes the worker."""
    accounts = load_accounts(settings)
    policies = {name: Policy.load(account.policy) for name, account in accounts.items()}
    client = open_redis(settings.redis_url)
    stack.push_async_callback(client.aclose)
    ledger = make_ledger(settings, client, time.time)
    stages = make_stages(settings, names, accounts, policies, ledger, get_result, time.time)
    full_ledger = FullLedger(lambda: False, Random(1))
    settler = Settler(settings.prefix, settings.max_attempts, lambda: NOW)
    runner = Runner(stages, settler, full_ledger, Random(1))
    source = open_source(settings, names, redis)
    stack.callback(source.close)

    async def turn() -> None:
        left = BATCH
        while left:
            batch = source.receive(5.0)
            left -= len(batch)
            source.settle(await asyncio.gather(*map(runner.run, batch)))

    return turn


def _ingress(settings: Settings) -> tuple[Callable[[Sequence[bytes]], None], Step]:
    """The ingress in this process. It gets all requests of a batch at once."""
    app, waiting = build(settings, open_store(settings), Refusals()), list[bytes]()

    async def post(body: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200

        headers = [(b"content-type", FORM.encode()), (b"content-length", str(len(body)).encode())]
        path = "/callbacks/default/notify"
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        await app(scope, receive, send)

    async def turn() -> None:
        await asyncio.gather(*map(post, waiting))
        waiting.clear()

    return waiting.extend, turn


async def measure(url: str) -> dict[str, Cost]:
    """Measure everything on an empty Redis that nothing else uses."""
    configure("costs", "warning")
    alone, whole = _settings(url, reconcile="never"), _settings(url)
    with Redis.from_url(url) as redis:
        prepare, turn = _ingress(_settings(url, prefix="ingress"))
        return {
            "ingress": await Work(redis, prepare, [turn]).cost(),
            "all stages in one process": await _cost_of_workers(alone, [STAGES], redis),
            "a process for each stage": await _cost_of_workers(alone, [(name,) for name in STAGES], redis),
            "all stages, with GetResult": await _cost_of_workers(whole, [STAGES], redis),
        }


async def _cost_of_workers(settings: Settings, each: Sequence[Sequence[Stage]], redis: "Redis") -> Cost:
    redis.flushall()
    async with AsyncExitStack() as stack:
        workers = [_worker(settings, names, redis, stack) for names in each]
        return await Work(redis, _store(settings), workers).cost()


def committed() -> dict[str, Cost]:
    """The costs in costs.json."""
    return {name: Cost(**row) for name, row in json.loads(COMMITTED.read_text()).items()}


def _table(costs: dict[str, Cost]) -> Table:
    shown = Table("", *(("Redis commands", "of them sent", "calls", "KiB")), title="One callback")
    for name, cost in costs.items():
        shown.add_row(name, f"{cost.commands:.1f}", f"{cost.sent:.3f}", f"{cost.calls:,.0f}", f"{cost.kib:.1f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="commit to these costs from now on")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        server = RedisServer(Path(home))
        server.start()
        costs = asyncio.run(measure(server.url))
        server.stop()
    Console().print(_table(costs))
    if wanted.write:
        rounded = {name: {key: round(value, 3) for key, value in asdict(cost).items()} for name, cost in costs.items()}
        COMMITTED.write_text(json.dumps(rounded, indent=2) + "\n")


if __name__ == "__main__":
    main()
