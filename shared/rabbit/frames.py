"""Frames between py-amqp and the socket: read and written by many at once, and none that stops those behind it."""

from collections.abc import Callable
from struct import unpack_from
from typing import Any, Final

from amqp.method_framing import frame_handler

CHUNK: Final = 65_536
"""Bytes read at once."""
HELD: Final = 262_144
"""Bytes that are held back at most until a batch is whole."""
HEAD: Final = 7
END: Final = 0xCE
CONTENT_HEADER: Final = 2
FIXED_PART: Final = 12
"""Of a content header: class, weight and body size; the properties follow."""
NO_PROPERTIES: Final = b"\0\0"

Frame = tuple[int, int, bytes]
"""Type, channel and payload."""


class BrokenFrame(Exception):
    """What has come is no frame of AMQP."""


def read_frames(sock: Any, handle: Callable[[Frame], object]) -> None:
    """Read what has come, to the end of the frame that is last in it, and handle each frame.

    py-amqp by itself reads nine times for a message. Blocks as long as the socket's timeout while there is nothing.
    """
    data, at = _some(sock, CHUNK), 0
    while at < len(data):
        if (missing := at + HEAD - len(data)) > 0:
            data += _exactly(sock, missing)
        kind, channel, size = unpack_from(">BHI", data, at)
        payload, end = at + HEAD, at + HEAD + size
        if (missing := end + 1 - len(data)) > 0:
            data += _exactly(sock, missing)
        if data[end] != END:
            raise BrokenFrame
        handle((kind, channel, data[payload:end]))
        at = end + 1


def tolerant_frame_handler(connection: Any, callback: Any) -> Callable[[Frame], bool]:
    """py-amqp's, but a message whose properties it can't parse comes without them."""
    handle = frame_handler(connection, callback)

    def on_frame(frame: Frame) -> bool:
        kind, channel, payload = frame
        if kind != CONTENT_HEADER:
            return bool(handle(frame))
        try:
            return bool(handle(frame))
        except Exception:  # a date beyond the calendar, text that is no UTF-8, nesting without end
            return bool(handle((kind, channel, payload[:FIXED_PART] + NO_PROPERTIES)))

    return on_frame


class WriteBuffer:
    """What py-amqp writes to: passes it on at once or, while it holds, in few large pieces."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: bytearray | None = None

    def write(self, data: Any) -> None:
        """Take a frame; its memory may change afterwards."""
        if self._held is None:
            self._transport.write(data)
            return
        self._held += data
        if len(self._held) >= HELD:
            self._transport.write(self._held)
            self._held.clear()

    def hold(self) -> None:
        """Keep what comes from now on."""
        self._held = bytearray()

    def release(self) -> None:
        """Pass on what is held."""
        held, self._held = self._held, None
        if held:
            self._transport.write(held)


def _some(sock: Any, most: int) -> bytes:
    data: bytes = sock.recv(most)
    if not data:
        raise ConnectionResetError
    return data


def _exactly(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += _some(sock, count - len(data))
    return data
