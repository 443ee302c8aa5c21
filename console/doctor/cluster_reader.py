"""Ask a RabbitMQ cluster for its nodes and the members of its queues: the management API, else `rabbitmqctl` here."""

import json
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from kombu.connection import Connection
from pyreqwest.client import SyncClient, SyncClientBuilder
from pyreqwest.exceptions import PyreqwestError

from console.doctor.probe import Probe, Refusal
from console.doctor.queue_members import Cluster, judge_members, unchecked
from deploy.local.rabbit_server import NoRabbit, find_script
from shared.messaging.engine import engine_of
from shared.messaging.errors import BrokerUnavailable
from shared.messaging.topology import queue_name
from shared.rabbit import Link, dialer
from shared.server_urls import addresses_of

MANAGEMENT: Final = {"amqp": ("http", 15672), "amqps": ("https", 15671)}
"""Scheme and default port of the management API, by the scheme of the broker's URL."""
CONTROL_SECONDS: Final = 60.0
"""Time-out of `rabbitmqctl`. Its start alone takes two seconds, more on a busy machine."""
HEARTBEAT: Final = 60.0
"""Seconds. The connection is silent while `rabbitmqctl` runs. RabbitMQ closes a connection that is silent for two
heartbeats, and deletes the marker with it.
"""
PAGE: Final = 500
"""Queues that the management API lists at most."""


class Unknown(Exception):
    """Why one way to ask has not worked, as part of a sentence."""


def probe_members(url: str, prefix: str, queues: Sequence[str], seconds: float, port: int = 0) -> tuple[Probe, ...]:
    """Whether `queues`, given by short names, have enough members.

    Nothing for another broker than RabbitMQ, and when no address can be reached.
    `url` may list several addresses. `seconds`: time-out of each request. `port`: of the management API; 0 for its
    default.
    """
    names = [queue_name(prefix, queue) for queue in queues]
    if engine_of(url) != "rabbit":
        return ()
    try:
        link = Link(dialer(url, seconds, HEARTBEAT))
    except BrokerUnavailable:
        return ()
    try:
        return (Probe("members", _judge(link, url, prefix, names, seconds, port)),)
    except BrokerUnavailable:  # the other probes say why
        return ()
    finally:
        link.close()


def _judge(link: Link, url: str, prefix: str, queues: Sequence[str], seconds: float, port: int) -> str | Refusal:
    marker = f"{prefix}.doctor-{uuid4().hex}"
    with link.guarded():
        link.channel.queue_declare(marker, exclusive=True)
    reasons = []
    for ask in (partial(_by_management, url, prefix, seconds, port), partial(_by_control, url, marker)):
        try:
            cluster = ask()
        except Unknown as error:
            reasons.append(str(error))
        else:
            if all(queue in cluster.members for queue in queues):
                return judge_members(cluster, queues, prefix)
            reasons.append("a queue was not listed")
    return unchecked(reasons)


def _by_management(url: str, prefix: str, seconds: float, port: int) -> Cluster:
    """By the management API of the first address that answers. Raises `Unknown`."""
    with SyncClientBuilder().no_proxy().follow_redirects(False).timeout(timedelta(seconds=seconds)).build() as http:
        for address in addresses_of(url):
            broker = Connection(address)
            scheme, default = MANAGEMENT[address.partition("://")[0].lower().replace("pyamqp", "amqp")]
            base = f"{scheme}://{broker.hostname}:{port or default}/api"
            try:
                nodes = _get(http, broker, f"{base}/nodes?columns=name")
                found = f"name={quote(f'^{prefix}[.]')}&use_regex=true&page=1&page_size={PAGE}&columns=name,members"
                queues = _get(http, broker, f"{base}/queues/{quote(broker.virtual_host or '/', safe='')}?{found}")
                return _cluster([node["name"] for node in nodes], queues["items"])
            except (PyreqwestError, ValueError, KeyError, TypeError):
                continue
    raise Unknown(f"the management API (port {port or default}) did not answer")


def _get(http: SyncClient, broker: Connection, url: str) -> Any:
    answer = http.get(url).basic_auth(broker.userid or "guest", broker.password or "guest").build().send()
    if answer.status in (401, 403):
        raise Unknown("the management API refuses the user, who needs the tag monitoring")
    return json.loads(answer.text())


def _by_control(url: str, marker: str) -> Cluster:
    """By `rabbitmqctl` on this machine, if its cluster has the queue `marker`. Raises `Unknown`."""
    vhost = Connection(addresses_of(url)[0]).virtual_host or "/"
    status, queues = _control("cluster_status"), _control("list_queues", "-p", vhost, "name", "members")
    cluster = _cluster(status["disk_nodes"] + status["ram_nodes"], queues)
    if marker not in cluster.members:
        raise Unknown("the RabbitMQ of this machine is another one")
    return cluster


def _control(*arguments: str) -> Any:
    try:
        command = [find_script("rabbitmqctl"), "--quiet", "--formatter", "json", *arguments]
        ran = subprocess.run(command, check=True, capture_output=True, timeout=CONTROL_SECONDS)  # noqa: S603 - fixed
        return json.loads(ran.stdout)
    except NoRabbit:
        raise Unknown("rabbitmqctl is not on this machine") from None
    except (subprocess.SubprocessError, OSError, ValueError):
        raise Unknown("rabbitmqctl reaches no node on this machine") from None


def _cluster(nodes: Sequence[str], queues: Sequence[dict[str, Any]]) -> Cluster:
    """A classic queue has no members in these lists."""
    return Cluster(tuple(sorted(nodes)), {queue["name"]: queue.get("members") or () for queue in queues})
