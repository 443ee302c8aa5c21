"""The signature: made as FaceID makes it, matched with every live secret."""

from typing import Any

import pytest

from tests.support.length_extension import extended, padding
from tests.support.payloads import OFFICIAL, SECRET, SIGNATURES
from workers.faceid.verification import match_secret, sign


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["name"])
def test_the_signature_of_a_vector_matches_if_it_is_valid(vector: dict[str, Any]) -> None:
    assert (match_secret([vector["secret"]], vector["data"].encode(), vector["sign"]) == 0) is vector["valid"]


def test_sign_makes_the_signature_of_the_official_example() -> None:
    assert sign(SECRET, OFFICIAL["data"].encode()) == OFFICIAL["sign"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_index_of_the_secret_that_matched_is_returned(index: int) -> None:
    secrets = ["newest", "middle", "oldest"]
    assert match_secret(secrets, b"{}", sign(secrets[index], b"{}")) == index


def test_of_two_equal_secrets_the_newer_one_is_returned() -> None:
    assert match_secret(["other", "same", "same"], b"{}", sign("same", b"{}")) == 1


def test_no_secret_matches_a_foreign_signature() -> None:
    assert match_secret(["one", "two"], b"{}", sign("three", b"{}")) is None
    assert match_secret([], b"{}", sign("three", b"{}")) is None


def test_an_empty_secret_never_matches() -> None:
    assert match_secret(["", "real"], b"{}", sign("", b"{}")) is None


@pytest.mark.parametrize(
    "given",
    ["", " ", "0" * 39, "0" * 41, OFFICIAL["sign"].upper(), OFFICIAL["sign"] + "\n", " " + OFFICIAL["sign"], "é" * 40],
)
def test_only_forty_lower_case_hex_digits_are_a_signature(given: str) -> None:
    assert match_secret([SECRET], OFFICIAL["data"].encode(), given) is None


def test_a_secret_beyond_ascii_signs_as_utf8() -> None:
    assert match_secret(["ключ"], b"x", sign("ключ", b"x")) == 0


@pytest.mark.parametrize("length", [1, 8, 20, 32, 44, 64, 100])
def test_a_signature_can_be_extended_without_the_secret(length: int) -> None:
    """The forged signature is valid, so the text must be parsed strictly as well."""
    secret, data, tail = "s" * length, b'{"a": 1}', b'{"status": "OK"}'
    forged = data + padding(length + len(data)) + tail
    assert match_secret([secret], forged, extended(sign(secret, data), length + len(data), tail)) == 0
