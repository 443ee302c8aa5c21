"""The processes of a run: the pipeline, its brokers, proxies between them, and a supervisor."""

import asyncio
import signal
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final, Self

from redis import Redis

from deploy.local.program import Program
from deploy.local.rabbit_server import RabbitServer
from deploy.local.redis_server import RedisServer
from deploy.local.stack import Stack
from deploy.simulator.driver.browser import http_client
from deploy.simulator.driver.control_client import ControlClient
from tests.chaos.brokers import Broker, RabbitBroker, RedisBroker
from tests.chaos.history import Posted
from tests.chaos.plan import Engine
from tests.support.proxies import Proxy

LEASE: Final = 2.0
SETTINGS: Final = {
    "FACEID_LEASE_SECONDS": f"{LEASE}",
    "FACEID_READ_SPACING_SECONDS": "0.5,1",
    "FACEID_HINT_DELAY_SECONDS": "1",
    "FACEID_TOKEN_LIFE_SECONDS": "4",
    "FACEID_GETRESULT_TIMEOUT_SECONDS": "1",
    "FACEID_GRACE_SECONDS": "5",
    "FACEID_MAX_ATTEMPTS": "2",
    "FACEID_BREAKER_REST_SECONDS": "0.1",
    "FACEID_SIMULATOR_GET_RESULT_SECONDS": "0.3",
    "FACEID_SIMULATOR_NOTIFY_ATTEMPTS": "100",
    "FACEID_SIMULATOR_NOTIFY_RETRY_SECONDS": "1",
    "FACEID_SIMULATOR_NOTIFY_TIMEOUT_SECONDS": "2",
}
"""Minutes in production are seconds here. A read takes 0.3 s, so that faults meet items in work. The vendor retries
a notify until it is stored."""
STAGES: Final[tuple[tuple[str, ...], ...]] = ((), (), ("verify", "classify"), ("reconcile", "publish"))
"""The stages of the first worker, the second, ...: some run all, others pass every item on through a queue."""
STOPS_WITHIN: Final = 30.0
"""Seconds: well above the grace period, since Redis may hang and the machine may be busy."""
SUPERVISOR_INTERVAL: Final = 0.2
PYTHONPATH: Final = Path(__file__).parent / "clock"


class Environment:
    """The pipeline in the folder `folder`, its queues on Redis or RabbitMQ.

    `results_apart`: another Redis holds the results.
    """

    def __init__(self, folder: Path, workers: int, *, engine: Engine = "redis", results_apart: bool = False) -> None:
        self.folder = folder
        self._clocks = folder / "clocks"
        self._clocks.mkdir(parents=True)
        server = RedisServer(folder / "redis")
        self.redis = RedisBroker(server)
        self.proxy = Proxy(server.port)
        self.broker: Broker = self.redis
        self.broker_proxy = self.proxy
        self.results: Broker | None = None
        settings = SETTINGS | {"PYTHONPATH": str(PYTHONPATH), "CHAOS_CLOCKS": str(self._clocks)}
        broker_url = results_url = ""
        if engine == "rabbitmq":
            rabbit = RabbitServer(folder / "rabbitmq")
            self.broker, self.broker_proxy = RabbitBroker(rabbit), Proxy(rabbit.port)
            broker_url = rabbit.url().replace(f":{rabbit.port}/", f":{self.broker_proxy.port}/")
        if results_apart:
            own = RedisServer(folder / "results")
            self.results, results_url = RedisBroker(own), own.url
        self.stack = Stack(
            folder,
            redis_url=f"redis://127.0.0.1:{self.proxy.port}/0",
            broker_url=broker_url,
            results_url=results_url,
            worker_stages=list(islice(cycle(STAGES), workers)),
            settings=settings,
        )
        self.remote = ControlClient(http_client(), self.stack.simulator_url)
        self.deaths: list[str] = []
        """Processes that ended though no injected fault had killed them."""
        self.attacks: list[Posted] = []
        """What attackers have sent."""
        self._killed: set[str] = set()

    @property
    def processes(self) -> dict[str, Program]:
        """The processes that faults are injected into, by name: all but the simulator, which notes what happens."""
        return {program.name: program for program in (self.stack.ingress, *self.stack.workers)}

    @property
    def ledger(self) -> "Redis":
        """Redis itself, past the proxy."""
        return self.redis.client()

    @property
    def decisions(self) -> Broker:
        """Where the results are."""
        return self.results or self.broker

    @property
    def brokers(self) -> list[Broker]:
        """All of them, the ledger's Redis first."""
        found = (self.redis, self.broker, self.results)
        return list(dict.fromkeys(broker for broker in found if broker is not None))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Started and supervised for the length of the block."""
        supervisor: asyncio.Task[None] | None = None
        try:
            await asyncio.to_thread(self._start)
            supervisor = asyncio.create_task(self._supervise())
            with self.proxy, self.broker_proxy:
                yield self
        finally:
            if supervisor is not None:
                supervisor.cancel()
            await asyncio.to_thread(self._stop)

    def kill(self, name: str) -> None:
        """SIGKILL. The process stays down until `start_again`."""
        self._killed.add(name)
        self.processes[name].kill()

    def start_again(self, name: str) -> None:
        """Start a process that was killed."""
        self.processes[name].start()
        self._killed.discard(name)

    def restart(self, name: str) -> None:
        """Stop a process by SIGTERM and start it again. One that does not stop by itself counts as dead."""
        self._killed.add(name)
        code = self.processes[name].stop(STOPS_WITHIN)
        if code not in {0, -signal.SIGTERM}:  # uvicorn ends by the signal it was sent
            self.deaths.append(f"{name} was stopped and exited with {code}")
        self.start_again(name)

    def step_clock(self, name: str, seconds: float) -> None:
        """Set the wall clock of a process so many seconds ahead."""
        file = self._clocks / str(self.processes[name].pid)
        if file.exists():  # missing until the process has imported `sitecustomize`
            with file.open("r+b") as opened:
                opened.write(struct.pack("d", seconds))

    async def _supervise(self) -> None:
        while True:
            for name, program in self.processes.items():
                if name not in self._killed and not program.running:
                    self.deaths.append(f"{name} exited with {program.exit_code}")
                    program.start()
            await asyncio.sleep(SUPERVISOR_INTERVAL)

    def _start(self) -> None:
        for broker in self.brokers:
            broker.start()
        self.stack.start()

    def _stop(self) -> None:
        for program in self.stack.programs:  # all at once: each takes a while
            program.send(signal.SIGCONT)
            program.send(signal.SIGTERM)
        self.stack.stop()
        for broker in self.brokers:
            broker.stop()
