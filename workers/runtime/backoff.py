"""Exponential backoff with full jitter."""

from random import Random


def full_jitter(attempt: int, base: float, cap: float, random: Random) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1): a random time up to base * 2^(attempt-1) and `cap`."""
    return random.uniform(0, min(cap, base * 2.0 ** min(attempt - 1, 62)))
