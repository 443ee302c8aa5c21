"""The length extension attack on `sha1(secret + message)`: extend a signed message without the secret."""

import struct


def padding(length: int) -> bytes:
    """The padding that SHA-1 appends to a message of `length` bytes."""
    return b"\x80" + b"\x00" * ((55 - length) % 64) + struct.pack(">Q", length * 8)


def extended(signature: str, length: int, tail: bytes) -> str:
    """The signature of a message, its padding and `tail`.

    It needs only the signature of the message, and `length`: the bytes of the secret and the message.
    """
    state = list(struct.unpack(">5I", bytes.fromhex(signature)))
    whole = tail + padding(length + len(padding(length)) + len(tail))
    for block in range(0, len(whole), 64):
        state = [
            (old + new) & 0xFFFFFFFF for old, new in zip(state, rounds(state, whole[block : block + 64]), strict=True)
        ]
    return struct.pack(">5I", *state).hex()


def rounds(state: list[int], block: bytes) -> list[int]:
    words = list(struct.unpack(">16I", block))
    for index in range(16, 80):
        words.append(rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1))
    a, b, c, d, e = state
    for index, word in enumerate(words):
        mixed, constant = mix(index // 20, b, c, d)
        a, b, c, d, e = (rotated(a, 5) + mixed + e + constant + word) & 0xFFFFFFFF, a, rotated(b, 30), c, d
    return [a, b, c, d, e]


def mix(stage: int, b: int, c: int, d: int) -> tuple[int, int]:
    if stage == 0:
        return (b & c) | (~b & d), 0x5A827999
    if stage == 2:
        return (b & c) | (b & d) | (c & d), 0x8F1BBCDC
    return b ^ c ^ d, 0x6ED9EBA1 if stage == 1 else 0xCA62C1D6


def rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF
