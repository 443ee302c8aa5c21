"""The GetResult client over a real socket: the answer for each failure, and that the secret appears nowhere."""

import asyncio
import io
import logging
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from select import select
from socket import create_server, socket
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.accounts import Account
from shared.logs import configure
from tests.support.paths import ROOT
from tests.support.waiting import eventually
from workers.faceid.getresult_client import (
    MAX_ANSWER_BYTES,
    Answer,
    Answered,
    Failed,
    GetResultClient,
    Refused,
    Unread,
    Unusable,
)

MIB = 1024 * 1024
SECRET = "very-secret-indeed"
BIZ_ID = "1462259748,52b13fb5 &=%+ü"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Vendor:
    """A server with one scripted answer for each connection. It keeps the requests."""

    def __init__(self, *talks: Talk) -> None:
        self._talks = list(talks)
        self.requests: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        talk = self._talks.pop(0) if len(self._talks) > 1 else self._talks[0]
        await talk(reader, writer)
        writer.close()


def says(status: int, body: bytes = b"", *headers: bytes, length: int | None = None) -> Talk:
    """Answer and close the connection. `length` replaces the true Content-Length."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = str(len(body) if length is None else length).encode()
        lines = [b"HTTP/1.1 %d x" % status, b"content-length: " + size, b"connection: close", *headers, b"", body]
        writer.write(b"\r\n".join(lines))
        await writer.drain()

    return talk


def pours(*headers: bytes, piece: bytes, status: int = 200) -> Talk:
    """Answer with `piece` again and again, until the client closes the connection."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\r\n".join([b"HTTP/1.1 %d x" % status, *headers, b"", b""]))
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()

    return talk


def zipped(size: int) -> bytes:
    """A gzip file of `size` zero bytes."""
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client closes the connection


async def hangs_at_the_second_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}")
    await reader.read()


async def drops(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def babbles(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


def account(port: int, path: str = "/faceid/lite/") -> Account:
    base_url = f"http://127.0.0.1:{port}{path}"
    return Account(name="default", api_key="k&y", api_secrets=(SECRET, "older"), base_url=base_url)


async def read(port: int, patience: float = 60.0) -> Answer:
    async with GetResultClient(patience, max_connections=4) as client:
        return await client.read(account(port), BIZ_ID)


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """The log at every level. The secret must not be in it."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure("worker", "debug", stream)
    root.setLevel(logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    assert SECRET not in stream.getvalue()


async def test_a_read_sends_the_newest_secret_and_the_unchanged_biz_id() -> None:
    vendor = Vendor(says(200, b'{"status": "OK"}'))
    async with vendor.open():
        assert await read(vendor.port) == Answered(b'{"status": "OK"}')
    (request,) = vendor.requests
    url = urlsplit(request.split()[1].decode())
    assert (request.split()[0], url.path) == (b"GET", "/faceid/lite/get_result")
    assert parse_qs(url.query) == {
        "api_key": ["k&y"],
        "api_secret": [SECRET],
        "biz_id": [BIZ_ID],
        "return_verify_time": ["1"],
        "return_image": ["0"],
    }


@pytest.mark.parametrize(
    ("talk", "meaning"),
    [
        (says(400, b'{"error_message": "RESULT_NOT_FOUND"}'), Refused("RESULT_NOT_FOUND")),
        (says(403, b'{"error_message": "AUTHENTICATION_ERROR"}', b"retry-after: 9"), Unread("AUTHENTICATION_ERROR", 9)),
        (says(403, b'{"error": "AUTHENTICATION_ERROR"}', b"retry-after: \xb2\xff"), Unread("AUTHENTICATION_ERROR")),
        (says(500, b'{"error_message": "INTERNAL_ERROR"}'), Failed("INTERNAL_ERROR")),
        (says(200, b'{"status": ', length=100), Failed("BROKEN_ANSWER")),
        (drops, Failed("BROKEN_ANSWER")),
        (babbles, Failed("BROKEN_ANSWER")),
        (says(200, b"{}", b"content-encoding: gzip"), Failed("BROKEN_ANSWER")),
        (says(200, zipped(MIB)[:-20], b"content-encoding: gzip"), Failed("BROKEN_ANSWER")),
        (says(200), Answered(b"")),
        (says(302, b"", b"location: http://127.0.0.1:1/elsewhere"), Failed("HTTP_302")),
    ],
    ids=[
        "refused",
        "unread",
        "odd header",
        "error",
        "half",
        "dropped",
        "no HTTP",
        "no gzip",
        "half of gzip",
        "empty",
        "redirect",
    ],
)
async def test_each_kind_of_failure_has_its_own_answer_and_is_not_retried(talk: Talk, meaning: Answer) -> None:
    vendor = Vendor(talk)
    async with vendor.open():
        assert await read(vendor.port) == meaning
    assert len(vendor.requests) == 1


OVERSIZED: dict[str, Talk] = {
    "400 MB": pours(b"content-length: 400000000", piece=bytes(MIB)),
    "no end": pours(piece=bytes(MIB)),
    "chunks without end": pours(b"transfer-encoding: chunked", piece=b"10000\r\n" + bytes(65536) + b"\r\n"),
    "gzip bomb": says(200, zipped(100 * MIB), b"content-encoding: gzip"),
}
READ_ONCE = """
import asyncio, resource, sys
from tests.contract.test_getresult_client import read

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main():
    await read(int(sys.argv[1]))
    before = peak()
    print(await read(int(sys.argv[1])), peak() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("talk", OVERSIZED.values(), ids=OVERSIZED)
async def test_an_oversized_answer_is_not_received_whole(talk: Talk) -> None:
    """The client's process grows by a few times the limit at most."""
    vendor = Vendor(says(200, b"{}"), talk)
    async with vendor.open():
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", READ_ONCE, str(vendor.port), cwd=ROOT, stdout=pipe
        )
        output, _ = await client.communicate()
    answer, grown = output.decode().rsplit(maxsplit=1)
    assert answer == str(Unusable("ANSWER_TOO_LARGE"))
    assert int(grown) < 30, "MiB"
    assert len(vendor.requests) == 2


async def test_an_answer_of_the_largest_size_is_received_whole() -> None:
    text = b'{"images": "' + b"x" * (MAX_ANSWER_BYTES - 14) + b'"}'
    vendor = Vendor(says(200, text))
    async with vendor.open():
        assert await read(vendor.port) == Answered(text)


async def test_an_answer_in_many_pieces_is_received_whole() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n")
        for letter in b'{"status": "OK"}':
            writer.write(b"1\r\n%c\r\n" % letter)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    vendor = Vendor(talk)
    async with vendor.open():
        assert await read(vendor.port) == Answered(b'{"status": "OK"}')


async def test_an_oversized_error_is_judged_by_its_status() -> None:
    vendor = Vendor(pours(status=500, piece=bytes(MIB)))
    async with vendor.open():
        assert await read(vendor.port) == Failed("HTTP_500")


async def test_an_answer_that_comes_byte_by_byte_times_out() -> None:
    async def trickles(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 x\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    vendor = Vendor(trickles)
    async with vendor.open():
        assert await read(vendor.port, patience=1.0) in (Failed("TIMEOUT"), Unread("NO_CONNECTION"))


async def test_a_call_that_times_out_may_have_been_a_read() -> None:
    """The second call uses the connection of the first: it can't time out while connecting."""
    vendor = Vendor(hangs_at_the_second_request)
    async with vendor.open(), GetResultClient(1.0, max_connections=1) as client:

        async def connected() -> bool:
            return await client.read(account(vendor.port), BIZ_ID) == Answered(b"{}")

        await eventually(connected)
        connections = len(vendor.requests)
        assert await client.read(account(vendor.port), BIZ_ID) == Failed("TIMEOUT")
    assert len(vendor.requests) == connections


async def test_a_refused_connection_costs_no_read() -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert await read(port) == Unread("NO_CONNECTION")


async def test_a_connection_that_times_out_costs_no_read() -> None:
    """One attempt of `read`, which would make three. Half of its time is for connecting, so it has 2.5 s left."""
    with ExitStack() as stack:
        server = stack.enter_context(closing(create_server(("127.0.0.1", 0), backlog=1)))
        fill_backlog(server.getsockname()[1], stack)
        async with GetResultClient(5.0, max_connections=1) as client:
            assert await client._call(account(server.getsockname()[1]), BIZ_ID) == Unread("NO_CONNECTION")


WITHOUT_FILES = """
import asyncio, os, resource, sys
from tests.contract.test_getresult_client import BIZ_ID, account
from workers.faceid.getresult_client import GetResultClient

async def main(url):
    target = account(0).model_copy(update={"base_url": url})
    async with GetResultClient(60.0, max_connections=1) as client:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            print(await client.read(target, BIZ_ID))
        for one in held:
            os.close(one)
        print(await client.read(target, BIZ_ID))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_process_without_file_descriptors_does_not_blame_faceid(host: str) -> None:
    """With a name, the resolver fails first, and says that there is no such host."""
    vendor = Vendor(says(200, b"{}"))
    async with vendor.open():
        command = (sys.executable, "-c", WITHOUT_FILES, f"http://{host}:{vendor.port}/")
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe)
        printed, _ = await client.communicate()
    assert printed.decode().splitlines() == [
        str(Unread("NO_FILE_DESCRIPTORS")),
        str(Answered(b"{}")),
    ]
    assert len(vendor.requests) == 1


def fill_backlog(port: int, stack: ExitStack) -> None:
    """Connect until the kernel ignores new connections. On the loopback it completes the others at once."""
    ignored = 0
    while ignored < 2:
        client = stack.enter_context(closing(socket()))
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        _, writable, _ = select([], [client], [], 0)
        ignored += not writable


async def test_a_call_that_exceeds_the_concurrency_limit_is_not_repeated_at_once() -> None:
    vendor = Vendor(says(403, b'{"error_message": "CONCURRENCY_LIMIT_EXCEEDED"}', b"retry-after: 2"))
    async with vendor.open():
        assert await read(vendor.port) == Unread("CONCURRENCY_LIMIT_EXCEEDED", 2)
    assert len(vendor.requests) == 1


async def test_a_proxy_of_the_environment_never_sees_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, vendor = Vendor(drops), Vendor(says(200, b"{}"))
    async with proxy.open(), vendor.open():
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await read(vendor.port) == Answered(b"{}")
    assert proxy.requests == []


@pytest.mark.parametrize("talk", [drops, hangs, babbles, says(200, b"{}"), says(403, SECRET.encode())])
async def test_the_secret_appears_in_no_answer_and_no_representation(talk: Talk) -> None:
    vendor = Vendor(talk)
    async with vendor.open():
        answer = await read(vendor.port, patience=0.1)
    assert SECRET not in f"{answer!r} {answer} {account(1)!r} {account(1)}"
