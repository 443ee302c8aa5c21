"""A network between us and Redis: `python -m tests.bench.delay PORT UPSTREAM_PORT MILLISECONDS`.

A TCP proxy in a process of its own that hands each packet on half a round trip after it came, however many are on their
way: it takes time, not throughput. Threads, since sleeping in one is precise to some 60 microseconds.
"""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter, sleep

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program


def serve(port: int, upstream: int, seconds: float) -> None:
    """For ever."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", upstream))
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                carry(source, target, seconds / 2)


def carry(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """One way of one connection, until either end closes."""
    on_the_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
    threading.Thread(target=_take, args=(source, on_the_way, seconds), daemon=True).start()
    threading.Thread(target=_hand_on, args=(on_the_way, target), daemon=True).start()


def _take(source: socket.socket, on_the_way: "SimpleQueue[tuple[float, bytes]]", seconds: float) -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        on_the_way.put((perf_counter() + seconds, data))


def _hand_on(on_the_way: "SimpleQueue[tuple[float, bytes]]", target: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due, data = on_the_way.get()
            if (rest := due - perf_counter()) > 0:
                sleep(rest)
            if not data:
                target.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)


@contextmanager
def delayed(folder: Path, upstream: int, milliseconds: float) -> Iterator[str]:
    """The URL of the Redis at port `upstream`, that much farther away."""
    port = free_port()
    words = (str(port), str(upstream), str(milliseconds))
    program = Program("delay", [sys.executable, "-m", "tests.bench.delay", *words], os.environ, folder)
    program.start()
    try:
        program.wait(lambda: is_listening("127.0.0.1", port), 60)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        program.stop(10)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)
