"""What `faceid doctor` reports about a real RabbitMQ."""

import json
import re
from typing import Any

import pytest

from console.doctor.probe import Probe, Refusal
from console.doctor.rabbitmq import ALARM, probe_rabbit
from deploy.local.rabbit_server import RabbitServer
from shared.brokers.factory import open_connection
from shared.brokers.rabbitmq_listener import Listener
from shared.messaging.topology import INNER_QUEUES, RESULT_QUEUES
from tests.support.paths import DOCS

pytestmark = pytest.mark.server
SETTING = "FACEID_BROKER_URL"
OPERATING = (DOCS / "how-to/operating.md").read_text()


def probes(url: str, queues: tuple[str, ...] = INNER_QUEUES, seconds: float = 60.0) -> tuple[Probe, ...]:
    return probe_rabbit(url, SETTING, "faceid", queues, seconds)


def refused(url: str) -> tuple[str, Refusal]:
    """The last probe and why it failed."""
    last = probes(url)[-1]
    assert isinstance(last.result, Refusal)
    return last.what, last.result


def test_a_working_rabbitmq_passes_every_probe_twice(rabbit_url: str) -> None:
    first, again = probes(rabbit_url), probes(rabbit_url, RESULT_QUEUES)

    assert [probe.what for probe in first] == [probe.what for probe in again] == ["", "queues", "confirms"]
    assert not any(isinstance(probe.result, Refusal) for probe in (*first, *again))


def test_a_probe_leaves_only_the_queues_that_workers_need(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    probes(rabbit_url)

    vhost = rabbit_url.rpartition("/")[2]
    names = set(rabbit_server.control("list_queues", "-p", vhost, "name", "--no-table-headers").split())
    assert names == {f"faceid.{queue}" for queue in INNER_QUEUES}


def test_a_wrong_password_is_reported_without_the_password(rabbit_url: str) -> None:
    what, refusal = refused(rabbit_url.replace("guest:guest", "guest:private"))

    assert (what, refusal.found) == ("", "the user or the password is wrong")
    assert "private" not in refusal.hint


def test_an_unknown_virtual_host_is_named(rabbit_url: str) -> None:
    what, refusal = refused(rabbit_url.rpartition("/")[0] + "/nowhere")

    assert (what, refusal.found) == ("", "vhost nowhere not found")
    assert "add_vhost" in refusal.hint


def test_a_port_where_nobody_listens_is_reported(rabbit_url: str) -> None:
    assert refused("amqp://guest:guest@127.0.0.1:9//") == (
        "",
        Refusal("nothing listens there", f"Start the broker, or fix host and port in {SETTING}."),
    )


def test_a_queue_declared_with_other_arguments_is_named_with_the_difference(rabbit_url: str) -> None:
    with open_connection(rabbit_url) as connection:
        channel: Any = connection.channel()
        channel.queue_declare("faceid.verified", durable=True, auto_delete=False)
        what, refusal = refused(rabbit_url)

    assert what == "queues"
    assert "declared with other arguments: inequivalent arg" in refusal.found
    assert "'faceid.verified'" in refusal.found
    assert "delete it when it is empty" in refusal.hint


@pytest.mark.parametrize(
    ("permissions", "failing"),
    [(("^$", ".*", ".*"), "queues"), ((".*", "^$", ".*"), "confirms"), ((".*", ".*", "^$"), "confirms")],
)
def test_a_missing_permission_is_reported(
    rabbit_server: RabbitServer, rabbit_url: str, permissions: tuple[str, str, str], failing: str
) -> None:
    vhost = rabbit_url.rpartition("/")[2]
    user = f"limited-{vhost}"
    add_user(rabbit_server, user, vhost, *permissions)

    what, refusal = refused(rabbit_url.replace("guest:guest", f"{user}:secret"))

    assert what == failing
    assert refusal.found.startswith("not permitted: access to ")
    assert "set_permissions" in refusal.hint


def test_the_documented_permissions_are_sufficient(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    ((configure, write, read),) = re.findall(r"set_permissions -p VHOST USER '(.*?)' '(.*?)' '(.*?)'", OPERATING)
    vhost = rabbit_url.rpartition("/")[2]
    add_user(rabbit_server, "documented", vhost, configure, write.replace("\\|", "|"), read)
    url = rabbit_url.replace("guest:guest", "documented:secret")

    found = probes(url, (*INNER_QUEUES, *RESULT_QUEUES))
    Listener(url, "faceid", ["decision.#"]).close()

    assert [probe.what for probe in found] == ["", "queues", "confirms"]
    assert not any(isinstance(probe.result, Refusal) for probe in found)


def add_user(server: RabbitServer, name: str, vhost: str, *permissions: str) -> None:
    """In one call: each start of `rabbitmqctl` takes more than a second."""
    user, patterns = f'<<"{name}">>', ", ".join(f"<<{json.dumps(pattern)}>>" for pattern in permissions)
    backend, by = "rabbit_auth_backend_internal", '<<"tests">>'
    server.control(
        "eval",
        f'{backend}:add_user({user}, <<"secret">>, {by}), '
        f'{backend}:set_permissions({user}, <<"{vhost}">>, {patterns}, {by}).',
    )


def test_a_memory_alarm_is_reported(killable_rabbit: RabbitServer, killable_url: str) -> None:
    killable_rabbit.full(full=True)
    try:
        assert probes(killable_url, seconds=5.0)[-1] == Probe("confirms", ALARM)
    finally:
        killable_rabbit.full(full=False)
    assert probes(killable_url)[-1].result == "a message was confirmed and read back"
