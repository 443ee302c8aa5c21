"""Read a case from Redis."""

from typing import cast

from redis import Redis

from shared.ledger.case_key import CaseKey, case_key


def read_fields(redis: "Redis", prefix: str, case: CaseKey) -> dict[str, bytes]:
    """All fields of a case; empty when there is no such case."""
    found = cast("dict[bytes, bytes]", redis.hgetall(case_key(prefix, case)))
    return {name.decode(): value for name, value in found.items()}
