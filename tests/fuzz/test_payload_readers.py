"""The payload reader beside the one before it, on mutated payloads."""

from tests.fuzz.payload_readers import run


def test_mutated_payloads_are_read_as_before() -> None:
    counts = run(1_000, seed=14)
    assert {"read", "removed", "NotStrictJson", "InvalidPayload"} <= counts.keys()
