"""What each fault does to the scene: it strikes, lasts, and is over when the function returns."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from redis import Redis
from redis.exceptions import ResponseError

from deploy.simulator.model.faults import ResultFault, ResultFaultKind
from shared.messaging.topology import INNER_QUEUES, queue_name
from tests.chaos.brokers import Broker
from tests.chaos.plan import Strike
from tests.chaos.scene import Scene
from tests.support.proxies import Proxy

Act = Callable[[Scene, Strike], Awaitable[None]]
Choose = Callable[[Scene], Broker]
Network = Callable[[Scene], Proxy]
GROUP: Final = "faceid"
CUT_INTERVAL: Final = 0.2
LOSS_INTERVAL: Final = 0.1
LATENCY: Final = (0.001, 0.2)
LONGEST_STEP: Final = 10.0
"""Seconds that a clock is moved at most."""


async def kill(scene: Scene, strike: Strike) -> None:
    await asyncio.to_thread(scene.kill, strike.target)
    await asyncio.sleep(strike.seconds)
    scene.revive(strike.target)


async def restart(scene: Scene, strike: Strike) -> None:
    await asyncio.to_thread(scene.restart, strike.target)


async def stop(scene: Scene, strike: Strike) -> None:
    scene.victims[strike.target].send(signal.SIGSTOP)
    await asyncio.sleep(strike.seconds)
    scene.victims[strike.target].send(signal.SIGCONT)


async def step_clock(scene: Scene, strike: Strike) -> None:
    scene.step_clock(strike.target, (2 * strike.force - 1) * LONGEST_STEP)
    await asyncio.sleep(strike.seconds)
    scene.step_clock(strike.target, 0.0)


def kill_one(choose: Choose) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        await asyncio.to_thread(choose(scene).kill)
        await asyncio.sleep(strike.seconds)
        await asyncio.to_thread(choose(scene).start)

    return act


def pause_one(choose: Choose) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        choose(scene).pause()
        await asyncio.sleep(strike.seconds)
        choose(scene).resume()

    return act


def fill_one(choose: Choose) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        await asyncio.to_thread(choose(scene).full, full=True)
        await asyncio.sleep(strike.seconds)
        await asyncio.to_thread(choose(scene).full, full=False)

    return act


async def destroy_group(scene: Scene, _: Strike) -> None:
    with scene.ledger as redis:
        for queue in INNER_QUEUES:
            _destroy(redis, queue_name("faceid", queue))


def _destroy(redis: "Redis", stream: str) -> None:
    try:
        redis.xgroup_destroy(stream, GROUP)
    except ResponseError as error:
        if "requires the key to exist" not in str(error):
            raise


def cut_connections(network: Network) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        await _often(network(scene).cut, CUT_INTERVAL, strike.seconds)

    return act


def lose_replies(network: Network) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        await _often(network(scene).cut_next_reply, LOSS_INTERVAL, strike.seconds)

    return act


async def _often(act: Callable[[], None], interval: float, seconds: float) -> None:
    for _ in range(max(1, int(seconds / interval))):
        act()
        await asyncio.sleep(interval)


def slow_network(network: Network) -> Act:
    async def act(scene: Scene, strike: Strike) -> None:
        network(scene).delays = LATENCY
        await asyncio.sleep(strike.seconds)
        network(scene).delays = (0.0, 0.0)

    return act


def result(kind: ResultFaultKind, longest_ms: float = 0) -> Act:
    """GetResult goes wrong in that way for whoever asks; `longest_ms`: what it takes with full force."""

    async def act(scene: Scene, strike: Strike) -> None:
        fault = ResultFault(kind=kind, times=None, delay_ms=longest_ms * strike.force)
        await scene.remote.set_faults(fault)
        await asyncio.sleep(strike.seconds)
        await scene.remote.set_faults()

    return act


def _redis(scene: Scene) -> Broker:
    return scene.redis


def _broker(scene: Scene) -> Broker:
    return scene.broker


def _results(scene: Scene) -> Broker:
    if scene.results is None:
        raise ValueError("this round's results have no broker of their own")
    return scene.results


def _to_redis(scene: Scene) -> Proxy:
    return scene.proxy


def _to_broker(scene: Scene) -> Proxy:
    return scene.broker_proxy


async def crash_all(scene: Scene, strike: Strike) -> None:
    kills = [broker.kill for broker in scene.brokers] + [partial(scene.kill, name) for name in scene.victims]
    await asyncio.gather(*map(asyncio.to_thread, kills))
    await asyncio.sleep(strike.seconds)
    for name in scene.victims:
        scene.revive(name)
    await asyncio.gather(*(asyncio.to_thread(broker.start) for broker in scene.brokers))


ACTS: Final[Mapping[str, Act]] = {
    "kill-worker": kill,
    "restart-worker": restart,
    "stop-worker": stop,
    "step-clock": step_clock,
    "kill-ingress": kill,
    "restart-ingress": restart,
    "stop-ingress": stop,
    "kill-redis": kill_one(_redis),
    "pause-redis": pause_one(_redis),
    "fill-redis": fill_one(_redis),
    "destroy-group": destroy_group,
    "cut-connections": cut_connections(_to_redis),
    "lose-replies": lose_replies(_to_redis),
    "slow-network": slow_network(_to_redis),
    "kill-rabbitmq": kill_one(_broker),
    "pause-rabbitmq": pause_one(_broker),
    "fill-rabbitmq": fill_one(_broker),
    "cut-rabbitmq": cut_connections(_to_broker),
    "lose-rabbitmq-replies": lose_replies(_to_broker),
    "slow-rabbitmq": slow_network(_to_broker),
    "slow-result": result("slow", longest_ms=2000),
    "failing-result": result("internal-error"),
    "hanging-result": result("hang"),
    "broken-result": result("broken"),
    "busy-result": result("busy"),
    "results-away": kill_one(_results),
    "crash-all": crash_all,
}
"""What each fault does, but for those that are the callbacks' own: the crowd brings them along."""
