"""A TCP proxy that simulates a network delay: `python -m tests.bench.network_delay PORT UPSTREAM_PORT MILLISECONDS`.

It forwards each packet half a round trip after it came. Packets don't wait for one another, so the throughput is not
limited. It uses threads, since their sleep is precise to about 60 microseconds.
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
    """Forward connections until the process is killed. `seconds`: the round trip."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", upstream))
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                forward(source, target, seconds / 2)


def forward(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Forward one direction of a connection until either end closes."""
    in_transit: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
    threading.Thread(target=_receive, args=(source, in_transit, seconds), daemon=True).start()
    threading.Thread(target=_send, args=(in_transit, target), daemon=True).start()


def _receive(source: socket.socket, in_transit: "SimpleQueue[tuple[float, bytes]]", seconds: float) -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        in_transit.put((perf_counter() + seconds, data))


def _send(in_transit: "SimpleQueue[tuple[float, bytes]]", target: socket.socket) -> None:
    with suppress(OSError):
        while True:
            due, data = in_transit.get()
            if (wait := due - perf_counter()) > 0:
                sleep(wait)
            if not data:
                target.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)


@contextmanager
def delayed(folder: Path, upstream: int, milliseconds: float) -> Iterator[str]:
    """Run the proxy in front of the Redis at port `upstream`. Gives its URL. `milliseconds`: the round trip."""
    port = free_port()
    words = (str(port), str(upstream), str(milliseconds))
    program = Program("network_delay", [sys.executable, "-m", "tests.bench.network_delay", *words], os.environ, folder)
    program.start()
    try:
        program.wait(lambda: is_listening("127.0.0.1", port), 60)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        program.stop(10)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)
