"""What each fault does to the scene: it strikes, lasts, and is over when the function returns."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from redis import Redis
from redis.exceptions import ResponseError

from deploy.simulator.faults import ResultFault, ResultFaultKind
from shared.topology import INNER_QUEUES, queue_name
from tests.chaos.plan import Strike
from tests.chaos.scene import Scene

Act = Callable[[Scene, Strike], Awaitable[None]]
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


async def kill_redis(scene: Scene, strike: Strike) -> None:
    await asyncio.to_thread(scene.redis.kill)
    await asyncio.sleep(strike.seconds)
    await asyncio.to_thread(scene.redis.start)


async def pause_redis(scene: Scene, strike: Strike) -> None:
    scene.redis.pause()
    await asyncio.sleep(strike.seconds)
    scene.redis.resume()


async def fill_redis(scene: Scene, strike: Strike) -> None:
    with scene.ledger as redis:
        redis.config_set("maxmemory", 1)
        await asyncio.sleep(strike.seconds)
        redis.config_set("maxmemory", 0)


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


async def cut_connections(scene: Scene, strike: Strike) -> None:
    await _often(scene.proxy.cut, CUT_INTERVAL, strike.seconds)


async def lose_replies(scene: Scene, strike: Strike) -> None:
    await _often(scene.proxy.cut_next_reply, LOSS_INTERVAL, strike.seconds)


async def _often(act: Callable[[], None], interval: float, seconds: float) -> None:
    for _ in range(max(1, int(seconds / interval))):
        act()
        await asyncio.sleep(interval)


async def slow_network(scene: Scene, strike: Strike) -> None:
    scene.proxy.delays = LATENCY
    await asyncio.sleep(strike.seconds)
    scene.proxy.delays = (0.0, 0.0)


def result(kind: ResultFaultKind, longest_ms: float = 0) -> Act:
    """GetResult goes wrong in that way for whoever asks; `longest_ms`: what it takes with full force."""

    async def act(scene: Scene, strike: Strike) -> None:
        fault = ResultFault(kind=kind, times=None, delay_ms=longest_ms * strike.force)
        await scene.remote.set_faults(fault)
        await asyncio.sleep(strike.seconds)
        await scene.remote.set_faults()

    return act


async def kill_results(scene: Scene, strike: Strike) -> None:
    if scene.results is None:
        raise ValueError("this round's results have no broker of their own")
    await asyncio.to_thread(scene.results.kill)
    await asyncio.sleep(strike.seconds)
    await asyncio.to_thread(scene.results.start)


async def crash_all(scene: Scene, strike: Strike) -> None:
    await asyncio.gather(
        asyncio.to_thread(scene.redis.kill), *(asyncio.to_thread(scene.kill, name) for name in scene.victims)
    )
    await asyncio.sleep(strike.seconds)
    for name in scene.victims:
        scene.revive(name)
    await asyncio.to_thread(scene.redis.start)


ACTS: Final[Mapping[str, Act]] = {
    "kill-worker": kill,
    "restart-worker": restart,
    "stop-worker": stop,
    "step-clock": step_clock,
    "kill-ingress": kill,
    "restart-ingress": restart,
    "stop-ingress": stop,
    "kill-redis": kill_redis,
    "pause-redis": pause_redis,
    "fill-redis": fill_redis,
    "destroy-group": destroy_group,
    "cut-connections": cut_connections,
    "lose-replies": lose_replies,
    "slow-network": slow_network,
    "slow-result": result("slow", longest_ms=2000),
    "failing-result": result("internal-error"),
    "hanging-result": result("hang"),
    "broken-result": result("broken"),
    "busy-result": result("busy"),
    "results-away": kill_results,
    "crash-all": crash_all,
}
"""What each fault does, but for those that are the callbacks' own: the crowd brings them along."""
