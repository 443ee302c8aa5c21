"""A TCP proxy in front of a server. It cuts connections, delays packets or adds TLS."""

import random
import socket
import ssl
import threading
from contextlib import suppress
from time import sleep
from types import TracebackType
from typing import Self


class Proxy:
    """Listen on a free port of 127.0.0.1 and forward to the port `upstream`.

    Setting `upstream` affects new connections only.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = port
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._replies_to_cut = 0
        self.cuts = 0
        self.delays = (0.0, 0.0)
        """The shortest and the longest delay of a packet, in seconds."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def in_use(self) -> bool:
        """Whether a connection is open."""
        return bool(self._open)

    def cut(self) -> None:
        """Close all open connections."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def cut_next_reply(self) -> None:
        """Forward the next request, and close its connection instead of forwarding the reply."""
        self._replies_to_cut += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError):
            downstream = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
            upstream = socket.create_connection(("127.0.0.1", self.upstream))
            ends = {downstream, upstream}
            self._open |= ends
            back = threading.Thread(target=self._pump, args=(upstream, downstream, True), daemon=True)
            back.start()
            self._pump(downstream, upstream, False)
            back.join()
            self._open -= ends
            for end in ends:
                end.close()

    def _pump(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if replies and self._replies_to_cut:
                    self._replies_to_cut -= 1
                    self.cuts += 1
                    break
                if any(self.delays):
                    sleep(random.uniform(*self.delays))
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
