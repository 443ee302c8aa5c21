"""AMQP frames between py-amqp and the socket: many in one read or write; an unreadable one does not stop the others."""

from collections.abc import Callable
from struct import unpack_from
from typing import Any, Final

from amqp.method_framing import frame_handler

CHUNK: Final = 65_536
"""Bytes read at once."""
MAX_BUFFER: Final = 262_144
"""Bytes that are buffered at most; then they are written, even if the batch is not complete."""
HEADER_SIZE: Final = 7
"""Bytes of a frame before its payload."""
FRAME_OVERHEAD: Final = HEADER_SIZE + 1
"""Bytes of a frame around its payload: the header and the end mark."""
FRAME_END: Final = 0xCE
CONTENT_HEADER: Final = 2
FIXED_PART: Final = 12
"""Bytes of a content header before its properties: class, weight and body size."""
NO_PROPERTIES: Final = b"\0\0"

Frame = tuple[int, int, bytes]
"""Type, channel and payload."""


class BrokenFrame(Exception):
    """The broker sent something that is no AMQP frame, or a longer one than was agreed."""


def read_frames(sock: Any, handle: Callable[[Frame], object], max_frame: int) -> None:
    """Read what has arrived, to the end of the last frame in it, and call `handle` with each frame.

    One read takes many frames; py-amqp reads nine times for one message. Waits for at most the socket's timeout.
    `max_frame`: bytes of the longest frame that client and broker agreed on. Raises `BrokenFrame`, ConnectionResetError
    or the socket's errors.
    """
    data, at = _receive(sock, CHUNK), 0
    while at < len(data):
        if (missing := at + HEADER_SIZE - len(data)) > 0:
            data += _receive_exactly(sock, missing)
        kind, channel, size = unpack_from(">BHI", data, at)
        if size > max_frame - FRAME_OVERHEAD:
            raise BrokenFrame
        payload, end = at + HEADER_SIZE, at + HEADER_SIZE + size
        if (missing := end + 1 - len(data)) > 0:
            data += _receive_exactly(sock, missing)
        if data[end] != FRAME_END:
            raise BrokenFrame
        handle((kind, channel, data[payload:end]))
        at = end + 1


def tolerant_frame_handler(connection: Any, callback: Any) -> Callable[[Frame], bool]:
    """py-amqp's frame handler; a message whose properties it can't parse arrives without properties."""
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
    """Takes py-amqp's frames: writes them at once or, between `hold` and `release`, in few large pieces."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._buffer: bytearray | None = None

    def write(self, data: Any) -> None:
        """Write a frame, or copy it to the buffer."""
        if self._buffer is None:
            self._transport.write(data)
            return
        self._buffer += data
        if len(self._buffer) >= MAX_BUFFER:
            self._transport.write(self._buffer)
            self._buffer.clear()

    def hold(self) -> None:
        """Buffer the frames from now on."""
        self._buffer = bytearray()

    def release(self) -> None:
        """Write the buffer, and later frames at once."""
        buffer, self._buffer = self._buffer, None
        if buffer:
            self._transport.write(buffer)


def _receive(sock: Any, limit: int) -> bytes:
    data: bytes = sock.recv(limit)
    if not data:
        raise ConnectionResetError
    return data


def _receive_exactly(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += _receive(sock, count - len(data))
    return data
