"""A worker process: builds its parts, and runs the stages on an asyncio loop beside the pump's thread.

The pump reads messages from the queues, hands them to the loop, and writes the settlements. Its thread also runs the
maintenance.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from functools import partial
from random import SystemRandom
from typing import Final

import structlog
import uvloop
from redis import Redis
from redis.exceptions import RedisError

from shared import gc_tuning
from shared.accounts import Account, load_accounts
from shared.admin.listener import WORKER_ADDRESS, AdminListener
from shared.admin.pages import routes
from shared.brokers.servers import wait_for_servers
from shared.ledger.redis_client import open_redis
from shared.logs import process_name
from shared.messaging.delivery import Delivery
from shared.messaging.topology import STAGES, Stage
from shared.redis_servers.clients import open_client
from shared.redis_servers.clock import RedisClock
from shared.settings import Settings
from workers.bootstrap import (
    alert_limits,
    evidence_bounds,
    load_policies,
    longest_delay,
    make_ledger,
    make_stages,
    most_calls,
    trim_bounds,
)
from workers.decisioning.policy import Policy
from workers.faceid.getresult_client import GetResultClient
from workers.health import Health
from workers.maintenance.alert_monitor import AlertMonitor
from workers.maintenance.delayed_scheduler import DelayedScheduler
from workers.maintenance.evidence_dropper import EvidenceDropper
from workers.maintenance.heartbeat_writer import HeartbeatWriter, Identity
from workers.maintenance.message_set_trimmer import MessageSetTrimmer
from workers.maintenance.outbox_relay import OutboxRelay
from workers.maintenance.releasing import reporting
from workers.maintenance.retention import Retention
from workers.maintenance.tasks import Maintenance
from workers.parent import Parent, worker_name
from workers.reporter import Reporter
from workers.runtime.full_ledger import FullLedger, has_room
from workers.runtime.pump import Pump
from workers.runtime.runner import Runner
from workers.runtime.settlement import Settler
from workers.runtime.source import Source
from workers.runtime.watchdog import Watchdog, longest_stage
from workers.sources.factory import open_source

log = structlog.get_logger()

CANCEL_SECONDS: Final = 5.0
"""How long a cancelled task may take to end."""


def run(settings: Settings, stages: Sequence[Stage] = STAGES, parent: Parent | None = None) -> int:
    """Run one worker process until SIGTERM or SIGINT. `parent`: its supervisor.

    Returns the exit code: 0 after a signal, 1 when the pump failed.

    Raises:
        SettingsError: The accounts can't be loaded, or a Redis can't be used.
        PolicyError: A policy can't be loaded.
    """
    accounts = load_accounts(settings)
    policies = load_policies(accounts)
    health = Health()
    with _teller(settings, health, parent):
        settings = wait_for_servers(settings)
        gc_tuning.freeze_startup_objects()
        return uvloop.run(Worker(settings, stages, accounts, policies, health, worker_name_of(parent)).run())


def worker_name_of(parent: Parent | None) -> str:
    """The name of this worker, before `@HOST`."""
    return worker_name(parent.slot) if parent else "worker"


def _teller(settings: Settings, health: Health, parent: Parent | None) -> AbstractContextManager[object]:
    """What tells the health of this process while its block runs: to its supervisor, else on its admin listener."""
    if parent:
        return Reporter(parent, health, settings.grace_seconds)
    return AdminListener(settings.admin_listen or WORKER_ADDRESS, routes(health.fault, health.missing))


class Worker:
    """The stages of one process. `policies`: by account. `name`: before `@HOST`."""

    def __init__(
        self,
        settings: Settings,
        stages: Sequence[Stage],
        accounts: Mapping[str, Account],
        policies: Mapping[str, Policy],
        health: Health,
        name: str,
    ) -> None:
        self._settings = settings
        self._stages = stages
        self._accounts = accounts
        self._policies = policies
        self._health = health
        self._name = name
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watchdog = Watchdog(longest_stage(settings.getresult_timeout_seconds, settings.getresult_budget))
        self._wake_scheduled = False

    async def run(self) -> int:
        """Run until the pump has stopped; returns the exit code."""
        settings, loop = self._settings, asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            client = GetResultClient(settings.getresult_timeout_seconds, most_calls(settings, self._accounts))
            redis = open_redis(settings.redis_url, socket_timeout=5.0, socket_connect_timeout=2.0)
            stack.push_async_callback(redis.aclose)
            await stack.enter_async_context(client)
            redis_of_pump = open_client(settings.redis_url, 5.0, 2.0)
            clock = RedisClock(redis_of_pump)
            with suppress(RedisError):  # maintenance measures it again
                clock.measure()
            ledger = make_ledger(settings, redis, clock)
            stages = make_stages(settings, self._stages, self._accounts, self._policies, ledger, client.read, clock)
            full_ledger = FullLedger(partial(has_room, redis_of_pump), SystemRandom())
            settler = Settler(settings.prefix, settings.max_attempts, clock, longest_delay(settings))
            runner = Runner(stages, settler, full_ledger, SystemRandom())
            stopped = asyncio.Event()
            pump, heartbeat = self._make_pump(runner, full_ledger, redis_of_pump, clock, loop, stopped)
            for signal_number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signal_number, pump.stop)
            log.info("worker.started", stages=list(self._stages), accounts=sorted(self._accounts))
            pump.start()
            watches = [
                loop.create_task(self._watchdog.watch(pump)),
                loop.create_task(self._health.watch(pump, heartbeat).run()),
            ]
            await stopped.wait()
            for watch in watches:
                watch.cancel()
            await self._cancel_tasks()
            return 0 if pump.failure is None else 1

    async def _cancel_tasks(self) -> None:
        """Cancel what is still running after the grace period; the pump has handed those messages back."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks and (await asyncio.wait(tasks, timeout=CANCEL_SECONDS))[1]:
            log.error("worker.stuck", why="a task can't be cancelled")
            os._exit(1)  # the loop would wait for it for ever

    def _make_pump(
        self,
        runner: Runner,
        full_ledger: FullLedger,
        redis: "Redis",
        clock: RedisClock,
        loop: asyncio.AbstractEventLoop,
        stopped: asyncio.Event,
    ) -> tuple[Pump, HeartbeatWriter]:
        settings = self._settings
        source = open_source(settings, self._stages, redis)
        heartbeat = HeartbeatWriter(redis, settings.prefix, self._identity(), lambda: clock.skew)

        def start(batch: Sequence[Delivery]) -> None:
            for delivery in batch:
                self._tasks[delivery.tag] = loop.create_task(self._run_stages(runner, pump, delivery))

        def deliver(batch: Sequence[Delivery]) -> None:
            loop.call_soon_threadsafe(start, batch)

        def on_stopped() -> None:
            heartbeat.end()
            loop.call_soon_threadsafe(stopped.set)

        def maintain() -> None:
            pulse.run()
            if not source.on_probation():  # a death that maintenance causes must not count against such a message
                maintenance.run()

        pump = Pump(source, deliver, maintain, on_stopped, full_ledger.is_pausing, settings.grace_seconds)
        pulse = Maintenance({"heartbeat": partial(heartbeat.run, pump)}, after_each=pump.turned)
        maintenance = Maintenance(self._maintenance_tasks(source, redis, clock), after_each=pump.turned)
        return pump, heartbeat

    def _identity(self) -> Identity:
        """What this worker says of itself in its heartbeats."""
        digests = [policy.digest for policy in self._policies.values()]
        return Identity(process_name(self._name), self._stages, list(self._accounts), digests)

    def _maintenance_tasks(self, source: Source, redis: "Redis", clock: RedisClock) -> dict[str, Callable[[], None]]:
        """What every worker does beside its stages, in this order."""
        settings, prefix = self._settings, self._settings.prefix
        retention = Retention.opened(settings.results_url, prefix, settings.retention_days, time.monotonic)
        dropper = EvidenceDropper(redis, prefix, *evidence_bounds(settings), time.monotonic)

        def measure_clock() -> None:
            with reporting():
                clock.run()

        return {  # the first two free memory
            "message_set_trimmer": MessageSetTrimmer(redis, prefix, *trim_bounds(settings), time.monotonic, clock).run,
            **({"evidence_dropper": dropper.run} if settings.drop_evidence else {}),
            "clock": measure_clock,
            "delayed_scheduler": DelayedScheduler(source, redis, prefix, clock).run,
            "outbox_relay": OutboxRelay(source, redis, prefix).run,
            "alert_monitor": AlertMonitor(
                source, redis, prefix, sorted(self._accounts), alert_limits(settings), clock
            ).run,
            **({"retention": retention.run} if retention else {}),
        }

    async def _run_stages(self, runner: Runner, pump: Pump, delivery: Delivery) -> None:
        self._watchdog.begin(delivery)
        try:
            pump.finish(await runner.run(delivery))
        except Exception as error:  # no settlement: another attempt counts as another delivery
            log.error("attempt.unsettled", queue=delivery.queue, id=str(delivery.headers.get("id", "")), exc_info=error)
            pump.give_back(delivery.tag)
        else:
            if not self._wake_scheduled:  # wakes after all tasks that are ready now, to settle them together
                self._wake_scheduled = True
                asyncio.get_running_loop().call_soon(self._wake, pump)
        finally:
            self._watchdog.end(delivery)
            del self._tasks[delivery.tag]

    def _wake(self, pump: Pump) -> None:
        self._wake_scheduled = False
        pump.wake()
