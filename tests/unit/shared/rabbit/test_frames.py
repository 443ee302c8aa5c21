"""AMQP frames: read from a stream that is cut anywhere; unreadable properties do not stop other messages."""

from collections.abc import Sequence
from itertools import pairwise
from struct import pack
from typing import Any

import pytest
from amqp.basic_message import Message
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from shared.rabbit.frames import MAX_BUFFER, BrokenFrame, Frame, WriteBuffer, read_frames, tolerant_frame_handler

MAX_FRAME = 4096
"""The smallest that a broker may ask for (AMQP 0-9-1)."""
FRAMES = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 9), st.binary(max_size=40)), min_size=1, max_size=8)


class Pieces:
    """A socket that returns these pieces; an empty one is the end of the stream."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self, most: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if piece[most:]:
            self.pieces.insert(0, piece[most:])
        return piece[:most]


def wire(kind: int, channel: int, payload: bytes, end: int = 0xCE) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + bytes([end])


def read_all(socket: Pieces) -> list[Frame]:
    found: list[Frame] = []
    while socket.pieces:
        read_frames(socket, found.append, MAX_FRAME)
    return found


@given(FRAMES, st.lists(st.integers(0, 400), max_size=8))
def test_frames_are_read_however_the_stream_is_cut(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(wire(*frame) for frame in frames)
    edges = [0, *sorted(cuts), len(stream)]
    assert read_all(Pieces([stream[a:b] for a, b in pairwise(edges)])) == frames


@given(FRAMES, st.integers(1, 60))
def test_a_read_ends_at_the_end_of_a_frame(frames: list[Frame], first: int) -> None:
    stream = b"".join(wire(*frame) for frame in frames)
    socket, found = Pieces([stream[:first], stream[first:]]), list[Frame]()
    read_frames(socket, found.append, MAX_FRAME)
    rest = b"".join(socket.pieces)
    assert stream == b"".join(wire(*frame) for frame in found) + rest


def test_bytes_that_are_no_frame_raise_broken_frame() -> None:
    with pytest.raises(BrokenFrame):
        read_frames(Pieces([wire(1, 1, b"x", end=0)]), lambda _: None, MAX_FRAME)


@pytest.mark.parametrize("size", [MAX_FRAME + 1, 2**32 - 1])
def test_a_frame_longer_than_the_agreed_size_is_refused_unread(size: int) -> None:
    socket = Pieces([pack(">BHI", 3, 1, size) + b"x", b"y" * 100])
    with pytest.raises(BrokenFrame):
        read_frames(socket, lambda _: None, MAX_FRAME)
    assert socket.pieces == [b"y" * 100]


def test_a_frame_of_the_agreed_size_is_read() -> None:
    payload = b"x" * (MAX_FRAME - 8)
    found: list[Frame] = []
    read_frames(Pieces([wire(3, 1, payload)]), found.append, MAX_FRAME)
    assert found == [(3, 1, payload)]


@pytest.mark.parametrize("stream", [b"", b"\1\0", wire(1, 1, b"xyz")[:-2]])
def test_a_stream_that_ends_within_a_frame_is_a_lost_connection(stream: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        read_frames(Pieces([stream]), lambda _: None, MAX_FRAME)


class Connection:
    bytes_recv = 0


def deliver(properties: bytes, body: bytes) -> Message:
    """The message that arrives when these property bytes are sent."""
    found: list[Message] = []

    def note(_channel: int, _method: Any, _arguments: bytes, message: Message) -> None:
        found.append(message)

    on_frame = tolerant_frame_handler(Connection(), note)
    on_frame((1, 1, pack(">HH", 60, 60)))
    on_frame((2, 1, pack(">HxxQ", 60, len(body)) + properties))
    if body:
        on_frame((3, 1, body))
    (message,) = found
    return message


def table(content: bytes) -> bytes:
    """The bytes of properties that are headers only."""
    return pack(">H", 0x2000) + pack(">I", len(content)) + content


NESTED = b""
for _ in range(5000):
    NESTED = b"\1nF" + pack(">I", len(NESTED)) + NESTED


@pytest.mark.parametrize(
    "properties",
    [
        pack(">HB", 0x8000, 2) + b"\xff\xfe",
        table(b"\1dT" + pack(">Q", 2**60)),
        table(b"\1d?"),
        table(NESTED),
        pack(">H", 0x8000),
    ],
    ids=["no text", "a date beyond the calendar", "an unknown type", "too deep", "cut short"],
)
@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_message_with_unreadable_properties_arrives_without_properties(properties: bytes, body: bytes) -> None:
    message = deliver(properties, body)
    assert (message.properties, message.body or b"") == ({}, body)


def test_a_message_with_readable_properties_keeps_them() -> None:
    properties = table(b"\1a" + b"S" + dumps("S", ["text"]))
    assert deliver(properties, b"body").properties == {"application_headers": {"a": "text"}}


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))


def test_a_write_buffer_writes_at_once_or_all_together_on_release() -> None:
    transport = Transport()
    write_buffer, buffer = WriteBuffer(transport), bytearray(b"one")
    write_buffer.write(memoryview(buffer))
    write_buffer.hold()
    write_buffer.write(memoryview(buffer))
    buffer[:] = b"two"  # py-amqp writes every frame into the same memory
    write_buffer.write(memoryview(buffer))
    assert transport.written == [b"one"]
    write_buffer.release()
    write_buffer.release()
    write_buffer.write(b"three")
    assert transport.written == [b"one", b"onetwo", b"three"]


def test_a_write_buffer_is_written_when_it_is_full() -> None:
    transport = Transport()
    write_buffer = WriteBuffer(transport)
    write_buffer.hold()
    for _ in range(5):
        write_buffer.write(b"x" * (MAX_BUFFER // 2))
    assert [len(piece) for piece in transport.written] == [MAX_BUFFER, MAX_BUFFER]
    write_buffer.release()
    assert sum(map(len, transport.written)) == 5 * (MAX_BUFFER // 2)
