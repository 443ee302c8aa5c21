"""Reading frames so that one message with unreadable properties does not stop all those behind it."""

from collections.abc import Callable
from typing import Any, Final

from amqp.method_framing import frame_handler

CONTENT_HEADER: Final = 2
FIXED_PART: Final = 12
"""Class, weight and body size; the properties follow."""
NO_PROPERTIES: Final = b"\0\0"


def tolerant_frame_handler(connection: Any, callback: Any) -> Callable[[tuple[int, int, bytes]], bool]:
    """py-amqp's, but a message whose properties it can't parse comes without them."""
    handle = frame_handler(connection, callback)

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, payload = frame
        if kind != CONTENT_HEADER:
            return bool(handle(frame))
        try:
            return bool(handle(frame))
        except Exception:  # a date beyond the calendar, text that is no UTF-8, nesting without end
            return bool(handle((kind, channel, payload[:FIXED_PART] + NO_PROPERTIES)))

    return on_frame
