"""The AsyncAPI document, read by its official parser and compared with where the code really sends things."""

import copy
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pika
import pytest
from jsonschema import Draft7Validator

from deploy.contract.documents import FOLDER, committed
from shared.brokers.factory import open_publisher
from shared.events.cloudevent import from_event, to_message
from shared.streams.entry import plain_fields
from tests.support.npm import NODE
from tests.support.redis_clients import open_redis

DOCUMENT: Final[dict[str, Any]] = json.loads((FOLDER / "asyncapi.json").read_text())
GOLDEN: Final = {name: body for name, body in committed().items() if name.startswith("golden/")}
MESSAGES: Final[dict[str, Any]] = DOCUMENT["components"]["messages"]
EXPECTED_FAULT: Final = "asyncapi-latest-version"
"""There is a 3.1, which adds nothing that is needed here; 3.0 is what most tools read."""

Change = Callable[[dict[str, Any]], object]


WRONG: Final[dict[str, Change]] = {
    "an operation on no channel": lambda document: document["channels"].pop("alerts"),
    "an unknown schema": lambda document: document["components"]["schemas"].pop("Reason"),
    "a routing key without its parameter": lambda document: document["channels"]["alertsByTopic"]["parameters"].clear(),
}


def changed(change: Change) -> str:
    document = copy.deepcopy(DOCUMENT)
    for message in document["components"]["messages"].values():
        del message["examples"]  # they take the parser longer than all else
    change(document)
    return json.dumps(document)


@pytest.fixture(scope="module")
def parsed(node_packages: Path) -> dict[str, Any]:
    """What the parser says of the document as it is, and of each wrong one."""
    texts = {"as it is": json.dumps(DOCUMENT)} | {name: changed(change) for name, change in WRONG.items()}
    return said_by("asyncapi.mjs", texts, node_packages)


def said_by(script: str, asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a script under Node.js answers."""
    command = ["node", str(folder / script)]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_official_parser_finds_no_fault(parsed: dict[str, Any]) -> None:
    assert [fault for fault in parsed["as it is"]["faults"] if fault["code"] != EXPECTED_FAULT] == []


def test_the_official_parser_finds_every_channel_and_every_golden_message(parsed: dict[str, Any]) -> None:
    assert parsed["as it is"]["channels"] == [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert sorted(parsed["as it is"]["examples"]) == sorted(Path(name).stem for name in GOLDEN)


@pytest.mark.parametrize("name", WRONG)
def test_the_official_parser_would_find_a_fault(name: str, parsed: dict[str, Any]) -> None:
    assert {fault["code"] for fault in parsed[name]["faults"]} - {EXPECTED_FAULT}


@pytest.mark.parametrize("noun", MESSAGES)
def test_every_example_is_valid_in_the_documents_own_schemas(noun: str) -> None:
    """In draft 7, that is: the official parser checks no examples of AsyncAPI 3."""
    message = MESSAGES[noun]
    for part in ("headers", "payload"):
        validator = Draft7Validator({**message[part], "components": DOCUMENT["components"]})
        assert [error.json_path for it in message["examples"] for error in validator.iter_errors(it[part])] == []
        assert not validator.is_valid({})


@pytest.mark.parametrize("name", GOLDEN)
def test_every_message_goes_to_the_documented_queue_and_topic(name: str) -> None:
    post = to_message(from_event(GOLDEN[name]), "faceid")
    noun = name.split("/")[1]  # decisions, alerts
    by_queue, by_topic = DOCUMENT["channels"][noun], DOCUMENT["channels"][f"{noun}ByTopic"]
    assert post.queue == by_queue["address"] == by_queue["bindings"]["amqp"]["queue"]["name"]
    assert post.content_type == DOCUMENT["defaultContentType"]
    said = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^.]+)", by_topic["address"]), post.topic)
    assert said is not None
    for parameter, value in said.groupdict().items():
        assert value in by_topic["parameters"][parameter].get("enum", [value])


def test_ajv_accepts_every_golden_message_in_its_own_schema_only(node_packages: Path) -> None:
    schemas = {name: json.loads(body) for name, body in committed().items() if name.startswith("schemas/")}
    messages = {name: json.loads(body) for name, body in GOLDEN.items()}
    data = {f"{name} data": message["data"] for name, message in messages.items()}
    accepted = said_by("validate.mjs", {"schemas": schemas, "messages": messages | data}, node_packages)
    for noun in MESSAGES:
        events = [name for name in messages if name.startswith(f"golden/{noun}s/")]
        assert accepted[f"schemas/{noun}-event.v1.json"] == events
        assert accepted[f"schemas/{noun}.v1.json"] == [f"{name} data" for name in events]


def test_an_entry_on_redis_has_the_documented_fields(fake_redis_url: str) -> None:
    publisher = open_publisher(fake_redis_url, timeout=5.0)
    posts = [to_message(from_event(body), "faceid") for body in GOLDEN.values()]
    publisher.publish(posts)
    publisher.close()
    documented = set(re.findall("`([a-z_]+)`", DOCUMENT["servers"]["redis"]["description"]))
    assert documented == set(plain_fields(b"{}", "application/json", b"{}")[::2]), "what the workers write"
    with open_redis(fake_redis_url) as redis:
        for noun in MESSAGES:
            entries: Any = redis.xrange(DOCUMENT["channels"][f"{noun}s"]["address"])
            assert [entry[b"body"] for _, entry in entries] == [post.body for post in posts if noun in post.queue]
            for _, entry in entries:
                assert documented <= {name.decode() for name in entry}
                assert entry[b"content_type"].decode() == DOCUMENT["defaultContentType"]
                assert json.loads(entry[b"headers"])["ce-id"] == json.loads(entry[b"body"])["id"]


@pytest.mark.server
def test_a_message_on_rabbitmq_has_the_documented_properties(rabbit_url: str) -> None:
    publisher = open_publisher(rabbit_url, timeout=10.0)
    sent = [to_message(from_event(body), "faceid") for body in GOLDEN.values()]
    publisher.publish(sent)
    publisher.close()
    with pika.BlockingConnection(pika.URLParameters(rabbit_url)) as connection:
        channel = connection.channel()
        for noun in MESSAGES:
            queue = DOCUMENT["channels"][f"{noun}s"]["bindings"]["amqp"]["queue"]
            exchange = DOCUMENT["channels"][f"{noun}sByTopic"]["bindings"]["amqp"]["exchange"]
            channel.exchange_declare(exchange["name"], exchange["type"], durable=exchange["durable"])
            channel.queue_declare(queue["name"], durable=queue["durable"], arguments=queue["arguments"])
            for post in [post for post in sent if noun in post.queue]:
                method, properties, body = channel.basic_get(queue["name"], auto_ack=True)
                assert (method.exchange, method.routing_key, body) == (exchange["name"], post.topic, post.body)
                assert properties.content_type == DOCUMENT["defaultContentType"]
                assert properties.headers["ce-id"] == json.loads(body)["id"]
                said = DOCUMENT["operations"][f"publish{noun.title()}"]["bindings"]["amqp"]
                assert properties.delivery_mode == said["deliveryMode"]
                assert properties.expiration == str(said["expiration"])


def test_the_document_names_no_real_host() -> None:
    assert {server["host"].partition(":")[0] for server in DOCUMENT["servers"].values()} == {
        "rabbitmq.example",
        "redis.example",
    }
    assert "://" not in json.dumps(DOCUMENT)


def test_packages_from_npm_are_exact_and_have_no_address() -> None:
    package, lock = (json.loads((NODE / name).read_text()) for name in ("package.json", "package-lock.json"))
    for name, version in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    assert not [name for name, locked in lock["packages"].items() if "resolved" in locked]
