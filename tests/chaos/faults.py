"""How each fault is injected: it begins, lasts, and is over when the function returns."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import cycle, islice
from typing import Final
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.exceptions import ResponseError

from deploy.simulator.model.faults import ResultFault, ResultFaultKind
from shared.messaging.envelope import Channel
from shared.messaging.topology import INNER_QUEUES, queue_name
from tests.chaos.bad_items import fill_log, refuse_settlements, store_bad_messages
from tests.chaos.brokers import GROUP, PREFIX, Broker
from tests.chaos.environment import Environment
from tests.chaos.history import Posted
from tests.chaos.plan import Injection
from tests.support.attackers import HEADS, Attackers, Request, posts, returns
from tests.support.proxies import Proxy
from tests.support.wrong_clocks import DAY

Inject = Callable[[Environment, Injection], Awaitable[None]]
ChooseBroker = Callable[[Environment], Broker]
ChooseProxy = Callable[[Environment], Proxy]
CUT_INTERVAL: Final = 0.2
LOSS_INTERVAL: Final = 0.1
LATENCY: Final = (0.001, 0.2)
LONGEST_STEP: Final = 10.0
"""Seconds that a clock is moved at most."""
MOST_AHEAD: Final = 31 * DAY
"""Seconds. Longer than anything is kept."""
FLOOD_REQUESTS: Final = 60
"""Posts, and as many returns."""
FLOOD_SILENT: Final = 100


async def kill(environment: Environment, injection: Injection) -> None:
    """SIGKILL a process, and start it again after a while."""
    await asyncio.to_thread(environment.kill, injection.target)
    await asyncio.sleep(injection.seconds)
    environment.start_again(injection.target)


async def restart(environment: Environment, injection: Injection) -> None:
    """Stop a process in good order and start it again."""
    await asyncio.to_thread(environment.restart, injection.target)


async def stop(environment: Environment, injection: Injection) -> None:
    """SIGSTOP a process, and SIGCONT it after a while."""
    environment.processes[injection.target].send(signal.SIGSTOP)
    await asyncio.sleep(injection.seconds)
    environment.processes[injection.target].send(signal.SIGCONT)


def step_clock(ahead: Callable[[float], float]) -> Inject:
    """Set a process's wall clock ahead, and set it right after a while. `ahead`: seconds, by the fault's strength."""

    async def inject(environment: Environment, injection: Injection) -> None:
        environment.step_clock(injection.target, ahead(injection.strength))
        await asyncio.sleep(injection.seconds)
        environment.step_clock(injection.target, 0.0)

    return inject


def few_seconds(strength: float) -> float:
    """Up to `LONGEST_STEP` ahead or back."""
    return (2 * strength - 1) * LONGEST_STEP


def many_days(strength: float) -> float:
    """`MOST_AHEAD` ahead, or a day back."""
    return MOST_AHEAD if strength < 0.5 else -DAY


def kill_broker(choose: ChooseBroker) -> Inject:
    """SIGKILL a broker, and start it again after a while."""

    async def inject(environment: Environment, injection: Injection) -> None:
        await asyncio.to_thread(choose(environment).kill)
        await asyncio.sleep(injection.seconds)
        await asyncio.to_thread(choose(environment).start)

    return inject


def pause_broker(choose: ChooseBroker) -> Inject:
    """SIGSTOP a broker, and SIGCONT it after a while."""

    async def inject(environment: Environment, injection: Injection) -> None:
        choose(environment).pause()
        await asyncio.sleep(injection.seconds)
        choose(environment).resume()

    return inject


def fill_broker(choose: ChooseBroker) -> Inject:
    """Let a broker have no memory for a while."""

    async def inject(environment: Environment, injection: Injection) -> None:
        await asyncio.to_thread(choose(environment).full, full=True)
        await asyncio.sleep(injection.seconds)
        await asyncio.to_thread(choose(environment).full, full=False)

    return inject


async def fail_over(environment: Environment, _: Injection) -> None:
    """Make a replica the primary behind the same address. The old primary keeps its connections."""
    environment.proxy.upstream = await asyncio.to_thread(environment.redis.fail_over)


async def destroy_group(environment: Environment, _: Injection) -> None:
    """Destroy the consumer group of every queue."""
    with environment.ledger as redis:
        for queue in INNER_QUEUES:
            _destroy(redis, queue_name(PREFIX, queue))


def _destroy(redis: "Redis", stream: str) -> None:
    try:
        redis.xgroup_destroy(stream, GROUP)
    except ResponseError as error:
        if "requires the key to exist" not in str(error):
            raise


def cut_connections(choose: ChooseProxy) -> Inject:
    """Cut all connections to a broker, again and again."""

    async def inject(environment: Environment, injection: Injection) -> None:
        await _repeat(choose(environment).cut, CUT_INTERVAL, injection.seconds)

    return inject


def lose_replies(choose: ChooseProxy) -> Inject:
    """Cut a connection instead of passing on a broker's next answer, again and again."""

    async def inject(environment: Environment, injection: Injection) -> None:
        await _repeat(choose(environment).cut_next_reply, LOSS_INTERVAL, injection.seconds)

    return inject


async def _repeat(act: Callable[[], None], interval: float, seconds: float) -> None:
    for _ in range(max(1, int(seconds / interval))):
        act()
        await asyncio.sleep(interval)


def slow_network(choose: ChooseProxy) -> Inject:
    """Delay every packet to and from a broker."""

    async def inject(environment: Environment, injection: Injection) -> None:
        choose(environment).delays = LATENCY
        await asyncio.sleep(injection.seconds)
        choose(environment).delays = (0.0, 0.0)

    return inject


def result(kind: ResultFaultKind, longest_ms: float = 0) -> Inject:
    """Let every GetResult call go wrong in this way. `longest_ms`: the delay at full strength."""

    async def inject(environment: Environment, injection: Injection) -> None:
        fault = ResultFault(kind=kind, times=None, delay_ms=longest_ms * injection.strength)
        await environment.remote.set_faults(fault)
        await asyncio.sleep(injection.seconds)
        await environment.remote.set_faults()

    return inject


def _redis(environment: Environment) -> Broker:
    return environment.redis


def _broker(environment: Environment) -> Broker:
    return environment.broker


def _results(environment: Environment) -> Broker:
    if environment.results is None:
        raise ValueError("this round's results have no broker of their own")
    return environment.results


def _to_redis(environment: Environment) -> Proxy:
    return environment.proxy


def _to_broker(environment: Environment) -> Proxy:
    return environment.broker_proxy


async def crash_all(environment: Environment, injection: Injection) -> None:
    """SIGKILL all processes and brokers at once, and start them again after a while."""
    kills = [broker.kill for broker in environment.brokers]
    kills += [partial(environment.kill, name) for name in environment.processes]
    await asyncio.gather(*map(asyncio.to_thread, kills))
    await asyncio.sleep(injection.seconds)
    for name in environment.processes:
        environment.start_again(name)
    await asyncio.gather(*(asyncio.to_thread(broker.start) for broker in environment.brokers))


async def flood(environment: Environment, injection: Injection) -> None:
    """Send large posts and long queries without a secret, and keep connections open that send no request."""
    attackers = Attackers(environment.stack.ingress_url, patience=3)
    silent = [asyncio.create_task(attackers.keep_silent(head)) for head in islice(cycle(HEADS), FLOOD_SILENT)]
    over = asyncio.get_running_loop().time() + injection.seconds
    requests = (attackers.send_all(posts(FLOOD_REQUESTS), 4), attackers.send_all(returns(FLOOD_REQUESTS), 4))
    await asyncio.gather(*requests)
    await asyncio.sleep(over - asyncio.get_running_loop().time())
    for task in silent:
        task.cancel()
    environment.attacks += [posted(request, answer) for request, answer in attackers.sent]


def posted(request: Request, answer: int | str) -> Posted:
    """An attacker's request as the history notes it. A forged callback names no biz_id."""
    method, path, _ = request
    url = urlsplit(path)
    channel: Channel = "return" if url.path.endswith("return") else "notify"
    if method == "POST":
        return Posted("", channel, "forged", answer, time.time())
    return Posted(parse_qs(url.query)["biz_id"][0], channel, "unsigned", answer, time.time())


INJECT: Final[Mapping[str, Inject]] = {
    "kill-worker": kill,
    "restart-worker": restart,
    "stop-worker": stop,
    "step-clock": step_clock(few_seconds),
    "wrong-clock": step_clock(many_days),
    "wrong-ingress-clock": step_clock(many_days),
    "kill-ingress": kill,
    "restart-ingress": restart,
    "stop-ingress": stop,
    "kill-redis": kill_broker(_redis),
    "pause-redis": pause_broker(_redis),
    "fill-redis": fill_broker(_redis),
    "fail-over-redis": fail_over,
    "destroy-group": destroy_group,
    "cut-connections": cut_connections(_to_redis),
    "lose-replies": lose_replies(_to_redis),
    "slow-network": slow_network(_to_redis),
    "kill-rabbitmq": kill_broker(_broker),
    "pause-rabbitmq": pause_broker(_broker),
    "fill-rabbitmq": fill_broker(_broker),
    "cut-rabbitmq": cut_connections(_to_broker),
    "lose-rabbitmq-replies": lose_replies(_to_broker),
    "slow-rabbitmq": slow_network(_to_broker),
    "full-log": fill_log,
    "bad-stored-message": store_bad_messages,
    "refused-settlement": refuse_settlements,
    "slow-result": result("slow", longest_ms=2000),
    "failing-result": result("internal-error"),
    "hanging-result": result("hang"),
    "broken-result": result("broken"),
    "busy-result": result("busy"),
    "results-away": kill_broker(_results),
    "flood": flood,
    "crash-all": crash_all,
}
"""How each fault is injected. Faults of the callbacks come with the users instead."""
