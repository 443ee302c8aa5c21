from datetime import UTC, datetime

import pytest

from console.terminal.time_format import format_duration, parse_rate, parse_time, rfc3339

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [
        ("2h", 7200),
        ("45s", 45),
        ("1d12h", 129_600),
        ("30m", 1800),
        ("2026-11-22T07:59:30Z", 30),
        ("2026-11-22T09:59:30+02:00", 30),
        ("2026-11-22T07:59:30.250Z", 29.75),
    ],
)
def test_a_time_is_rfc3339_or_a_duration_before_now(text: str, seconds_ago: float) -> None:
    assert parse_time(text, NOW) == pytest.approx(NOW - seconds_ago)


@pytest.mark.parametrize("text", ["", "yesterday", "2", "h2", "2h!", "-2h", "2026-11-22", "2026-11-22T07:59:30"])
def test_another_time_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_time(text, NOW)


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50), ("0.5", 0.5), ("1e3/s", 1000)])
def test_a_rate_is_a_number_a_second(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1/s", "fast", "5/m", "inf", "nan"])
def test_another_rate_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="50/s"):
        parse_rate(text)


def test_times_are_printed_in_utc_with_milliseconds() -> None:
    assert rfc3339(NOW + 0.25) == "2026-11-22T08:00:00.250Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (0.44, "0.4s"), (-3, "-3.0s"), (10, "10s"), (3600, "1h"), (3725, "1h 2m"), (-90_061, "-1d 1h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
