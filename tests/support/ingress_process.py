"""A real `faceid ingress` process, and raw HTTP over its sockets."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis import Redis

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.stack import FACEID, clean_environment
from tests.support.waiting import until

NOTIFY = "/callbacks/default/notify"
RETURN = "/callbacks/default/return"
SECONDS = 120.0
"""For each wait on a socket."""


@dataclass
class IngressProcess:
    """A running ingress."""

    program: Program
    port: int
    admin_port: int
    redis: "Redis"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def send(self, request: bytes) -> bytes:
        """What is answered on a new connection until it is closed."""
        with self.connect() as connection:
            send_all(connection, request)
            return read_all(connection)

    def post(self, body: bytes = b"data=1&sign=2") -> int:
        """Post a callback, and return the status; 0 without an answer."""
        return status(self.send(post(body, "connection: close")))

    def stored(self) -> list[dict[bytes, bytes]]:
        """The entries in the queue `callbacks`."""
        return [fields for _, fields in cast("list[Any]", self.redis.xrange("faceid.callbacks"))]

    def bodies(self) -> list[bytes]:
        return [fields[b"body"] for fields in self.stored()]

    def rss(self) -> int:
        """The most memory that it has had so far, in bytes."""
        lines = Path(f"/proc/{self.program.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def metric(self, line: str) -> float:
        """The value of the first sample that starts with `line`; 0 without one."""
        with socket.create_connection(("127.0.0.1", self.admin_port), timeout=SECONDS) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = read_all(connection).decode()
        return next((float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(line)), 0.0)


@contextmanager
def ingress_process(
    redis_url: str, folder: Path, settings: Mapping[str, str] | None = None, open_files: int = 0
) -> Iterator[IngressProcess]:
    """Start an ingress with its queues at `redis_url`. `open_files`: its limit of file descriptors, if not 0."""
    port, admin_port = free_port(), free_port()
    env = clean_environment() | {
        "FACEID_REDIS_URL": redis_url,
        "FACEID_LISTEN": f"127.0.0.1:{port}",
        "FACEID_ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
        "FACEID_STORE_TIMEOUT_SECONDS": "30",
    }
    command = [*FACEID, "ingress"]
    if open_files:
        command = ["bash", "-c", f'ulimit -n {open_files}; exec "$@"', "bash", *command]
    program = Program("ingress", command, env | dict(settings or {}), folder)
    program.start()
    with Redis.from_url(redis_url) as redis:
        try:
            until(lambda: program.logged("ingress.listening") and is_listening("127.0.0.1", port), of=[program])
            yield IngressProcess(program, port, admin_port, redis)
        finally:
            program.stop()


def post(body: bytes, *headers: str, path: str = NOTIFY) -> bytes:
    """A POST request."""
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def send_all(connection: socket.socket, data: bytes) -> None:
    """Send what the other side takes: it may close before everything is sent."""
    try:
        connection.sendall(data)
    except OSError:
        return


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    answer = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return answer
        if not part:
            return answer
        answer += part


def status(answer: bytes) -> int:
    """The status of the first answer; 0 without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def statuses(answers: bytes) -> list[int]:
    """The status of each answer on one connection."""
    return [int(found) for found in re.findall(rb"^HTTP/1.1 (\d{3}) ", answers, re.MULTILINE)]
