"""Compress texts with zstandard and a dictionary of FaceID's payloads.

A compressed text is one zstandard frame. It begins with a magic number that no JSON text begins with, and it names its
dictionary. What does not begin with that number is a text as it is, for example one that an earlier version stored.

A new dictionary gets the next number and a file of its own; old ones stay. Two versions may run at the same time, so a
dictionary must be released one version before texts are compressed with it: set `NEWEST` then.
`python -m deploy.contract.dictionary` makes one.
"""

from pathlib import Path
from threading import local
from typing import Final

from zstandard import FRAME_HEADER, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor, ZstdError
from zstandard import get_frame_parameters as read_header

DICTIONARIES: Final = Path(__file__).parent / "dictionaries"
FIRST_ID: Final = 0x8000
"""The id of dictionary number 0. Smaller ids are reserved for zstandard's public registry."""
NEWEST: Final = 1
"""The number of the dictionary that texts are compressed with."""
LEVEL: Final = 3
MAX_TEXT_BYTES: Final = 16_777_216
"""The longest text. A frame that announces more is refused before memory is taken for it."""


class UnreadableText(ValueError):
    """The text can't be decompressed: it is damaged, too long, or its dictionary is of a later version."""


def _load(number: int) -> ZstdCompressionDict:
    return ZstdCompressionDict((DICTIONARIES / f"texts-{number}.dict").read_bytes())


class _OfThread(local):
    """A compressor, and a decompressor for each dictionary. Two threads must not use one of them at once."""

    def __init__(self) -> None:
        dictionaries = {found.dict_id(): found for found in map(_load, range(1, NEWEST + 1))}
        self.compress = ZstdCompressor(level=LEVEL, dict_data=dictionaries[FIRST_ID + NEWEST]).compress
        self.decompressors = {name: ZstdDecompressor(dict_data=found) for name, found in dictionaries.items()}


_OF_THREAD: Final = _OfThread()


def compress(text: bytes) -> bytes:
    """The text as it is stored: compressed, unless that would make it longer. Takes about 2 µs for a payload."""
    packed = _OF_THREAD.compress(text)
    return packed if len(packed) < len(text) or text.startswith(FRAME_HEADER) else text


def decompress(stored: bytes, most: int = MAX_TEXT_BYTES) -> bytes:
    """The text of what `compress` returned, or of a text that was stored as it is.

    Raises `UnreadableText`, also when the text is longer than `most` bytes.
    """
    if not stored.startswith(FRAME_HEADER):
        return stored
    try:
        header = read_header(stored)
        if header.content_size > most:  # an unknown size is the largest number
            raise UnreadableText(f"the text is longer than {most} bytes")
        return _OF_THREAD.decompressors[header.dict_id].decompress(stored, allow_extra_data=False)
    except KeyError:
        raise UnreadableText(f"dictionary {header.dict_id} is not in this version") from None
    except ZstdError as error:
        raise UnreadableText("the text is damaged") from error
