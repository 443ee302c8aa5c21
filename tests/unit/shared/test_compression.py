import json
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from zstandard import ZstdCompressionDict, ZstdCompressor, get_frame_parameters

from shared.compression import DICTIONARIES, FIRST_ID, NEWEST, UnreadableText, compress, decompress
from tests.support.payloads import CALLBACKS

DICTIONARY: Final = ZstdCompressionDict((DICTIONARIES / f"texts-{NEWEST}.dict").read_bytes())
PAYLOADS: Final = [json.dumps(payload).encode() for payload in CALLBACKS.values()]
FRAME: Final = compress(PAYLOADS[0])
STORED_WITH_DICTIONARY_1: Final = (
    "28b52ffd62018019022d030003c60d251982453b11138fb1d76faf5b6b94ad1f6369762d8f6ddda32f429faf38e1b6b1936d"
    "cc95d7ce4ac5f82cc5933c29ebcf99bd2121210111fc68d15cd861dc5044188c3c87079bf3c0a91ee6faa85c80ef749b6322"
    "db35bea640ca445aadc21b2e39"
)
ODD: Final = [
    b"",
    b"{}",
    b"\xff\xfe<html>",
    bytes(range(256)),
    random.Random(1).randbytes(100_000),
    b"x" * 1_000_000,
    FRAME,
    FRAME[:4],
    ZstdCompressor().compress(b"another dictionary"),
]


@pytest.mark.parametrize("text", [*PAYLOADS, *ODD], ids=range(len(PAYLOADS) + len(ODD)))
def test_a_text_comes_back_byte_for_byte(text: bytes) -> None:
    assert decompress(compress(text)) == text
    assert len(compress(text)) <= len(text) + 50


def test_a_payload_takes_a_fifth_of_its_length() -> None:
    whole = sum(map(len, PAYLOADS))
    assert sum(len(compress(text)) for text in PAYLOADS) < whole / 5


def test_a_text_that_an_earlier_version_stored_is_read_as_it_is() -> None:
    assert [decompress(text) for text in PAYLOADS] == PAYLOADS


def test_a_text_names_its_dictionary() -> None:
    assert get_frame_parameters(FRAME).dict_id == FIRST_ID + NEWEST


def test_the_first_dictionary_is_readable_for_ever() -> None:
    stored = bytes.fromhex(STORED_WITH_DICTIONARY_1)
    assert json.loads(decompress(stored))["biz_info"]["biz_no"] == "cc47190f-502-44a2-ab74-ea4f0f649f61"


def test_a_frame_that_announces_too_much_is_refused_before_memory_is_taken() -> None:
    bomb = ZstdCompressor(dict_data=DICTIONARY).compress(bytes(50_000_000))
    endless = ZstdCompressor(dict_data=DICTIONARY, write_content_size=False).compress(bytes(50_000_000))
    tracemalloc.start()
    for frame in (bomb, endless):
        with pytest.raises(UnreadableText, match="longer than"):
            decompress(frame)
    with pytest.raises(UnreadableText, match="longer than 799 bytes"):
        decompress(compress(b"x" * 800), most=799)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("length", [4, 8, 12, 40, len(FRAME) - 1])
def test_a_text_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(UnreadableText):
        decompress(FRAME[:length])


def test_a_frame_that_lies_about_its_length_is_refused() -> None:
    true = get_frame_parameters(FRAME).content_size
    at = FRAME.index((true - 256).to_bytes(2, "little"))  # zstandard's format: two bytes, less 256
    for lie in (true - 1, true + 1, 256, 65_000):
        with pytest.raises(UnreadableText):
            decompress(FRAME[:at] + (lie - 256).to_bytes(2, "little") + FRAME[at + 2 :])


def test_bytes_after_the_frame_and_unknown_dictionaries_are_refused() -> None:
    with pytest.raises(UnreadableText):
        decompress(FRAME + b"x")
    with pytest.raises(UnreadableText, match="not in this version"):
        decompress(ZstdCompressor().compress(PAYLOADS[0]))


def test_threads_may_compress_and_decompress_at_once() -> None:
    texts = PAYLOADS * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: decompress(compress(text)), texts)) == texts
