"""A worker process: the composition root, the asyncio loop that runs the stages, and the pump beside it."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from random import SystemRandom

import structlog
import uvloop
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import gc_tuning
from shared.ledger.redis_client import open_redis
from shared.messaging.topology import STAGES, Stage
from shared.settings import Account, Settings, load_accounts
from workers.bootstrap import alert_limits, make_ledger, make_stages
from workers.decisioning.policy import Policy
from workers.faceid.getresult_client import GetResultClient
from workers.maintenance.alert_monitor import AlertMonitor
from workers.maintenance.delayed_scheduler import DelayedScheduler
from workers.maintenance.retention import Retention
from workers.runtime.delivery import Delivery
from workers.runtime.pump import Pump
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settler
from workers.sources.factory import open_source

log = structlog.get_logger()


def run(settings: Settings, stages: Sequence[Stage] = STAGES) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code. Raises `SettingsError` or `PolicyError` at once."""
    accounts = load_accounts(settings)
    policies = {name: Policy.load(account.policy) for name, account in accounts.items()}
    gc_tuning.spare()
    return uvloop.run(Worker(settings, stages, accounts, policies).run())


class Worker:
    """One process's stages, with what they need, built once."""

    def __init__(
        self,
        settings: Settings,
        stages: Sequence[Stage],
        accounts: Mapping[str, Account],
        policies: Mapping[str, Policy],
    ) -> None:
        self._settings = settings
        self._names = stages
        self._accounts = accounts
        self._policies = policies
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waking = False

    async def run(self) -> int:
        """Work until told to stop; 0, or 1 when the pump died."""
        settings, loop = self._settings, asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            client = GetResultClient(settings.getresult_timeout_seconds, settings.prefetch)
            redis = open_redis(settings.redis_url, socket_timeout=5.0, socket_connect_timeout=2.0)
            stack.push_async_callback(redis.aclose)
            await stack.enter_async_context(client)
            ledger = make_ledger(settings, redis)
            stages = make_stages(settings, self._names, self._accounts, self._policies, ledger, client.read)
            runner = Runner(stages, Settler(settings.prefix, settings.max_attempts, time.time), SystemRandom())
            ended = asyncio.Event()
            pump = self._pump(runner, loop, ended)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, pump.stop)
            log.info("worker.started", stages=list(self._names), accounts=sorted(self._accounts))
            pump.start()
            await ended.wait()
            left = list(self._tasks.values())
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            return 0 if pump.failure is None else 1

    def _pump(self, runner: Runner, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> Pump:
        settings = self._settings
        redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=5.0,
            socket_connect_timeout=2.0,
            retry=Retry(NoBackoff(), 0),  # the pump tries again itself; a retry in here would block the lease renewal
        )
        source = open_source(settings, self._names, redis)
        scheduler = DelayedScheduler(source, redis, settings.prefix, settings.unverified_max, time.time)

        retention = Retention.opened(settings.results_url, settings.prefix, settings.retention_days, time.time)
        watch = AlertMonitor(source, redis, settings.prefix, sorted(self._accounts), alert_limits(settings), time.time)

        def start(batch: Sequence[Delivery]) -> None:
            for delivery in batch:
                self._tasks[delivery.tag] = loop.create_task(self._work(runner, pump, delivery))

        def deliver(batch: Sequence[Delivery]) -> None:
            loop.call_soon_threadsafe(start, batch)

        def end() -> None:
            loop.call_soon_threadsafe(ended.set)

        def maintenance() -> None:
            scheduler.do()
            watch.look()
            if retention is not None:
                retention.do_when_due()

        pump = Pump(source, deliver, maintenance, end, settings.grace_seconds)
        return pump

    async def _work(self, runner: Runner, pump: Pump, delivery: Delivery) -> None:
        try:
            pump.finish(await runner.run(delivery))
            if not self._waking:  # when the loop has done all that is ready: so they are settled together
                self._waking = True
                asyncio.get_running_loop().call_soon(self._wake, pump)
        finally:
            del self._tasks[delivery.tag]

    def _wake(self, pump: Pump) -> None:
        self._waking = False
        pump.wake()
