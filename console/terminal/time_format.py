"""Times, rates and durations as a person writes and reads them."""

import re
from datetime import UTC, datetime
from typing import Final

_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:\d+[dhms])+")
_PART: Final = re.compile(r"(\d+)([dhms])")


def parse_time(text: str, now: float) -> float:
    """Unix seconds of an RFC 3339 time, or of a duration before `now` such as `2h` or `1d12h`.

    Raises ValueError; its text says how to write a time.
    """
    if _DURATION.fullmatch(text):
        return now - sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time such as 2026-11-22T08:00:00Z, or a duration such as 2h or 1d12h") from None
    if time.tzinfo is None:
        raise ValueError("write the time with its time zone, such as Z for UTC")
    return time.timestamp()


def parse_rate(text: str) -> float:
    """A rate such as `50/s` or `50`, a second. Raises ValueError; its text says how to write a rate."""
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ValueError("write a rate above 0, such as 50/s")
    return rate


def rfc3339(unix_seconds: float) -> str:
    """A time in UTC with milliseconds."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_duration(seconds: float) -> str:
    """A duration in its two largest units: `2d 3h`, `5m 10s`, `0.4s`."""
    if abs(seconds) < 10:
        return f"{seconds:.1f}s"
    parts, left = [], int(abs(seconds))
    for unit, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if seconds < 0 else "") + " ".join(parts[:2])
