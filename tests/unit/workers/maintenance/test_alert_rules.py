"""The alert rules: rates, dead letters and the age of the backlog."""

import json
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from shared.events.alert import Alert
from shared.ledger.counters import Counted
from shared.messaging.memory import Memory
from workers.maintenance.alert_rules import AlertLimits, Measurements, RateThreshold, alerts_for

LIMITS = AlertLimits(
    window=600.0,
    attacks=RateThreshold(0.2, 10),
    bad_signatures=RateThreshold(0.05, 20),
    dead_letters=10,
    backlog_age=300.0,
    memory_share=0.75,
)
NOTHING = Measurements(
    at=1_700_000_000.25,
    counters={"default": Counter[Counted]()},
    dead_letters=0,
    causes=Counter(),
    refused=0,
    oldest_at=None,
)


def measured(**counts: int) -> Measurements:
    """Measurements with these counts of one account."""
    return replace(NOTHING, counters=counters(default=counts))


def counters(**accounts: dict[str, int]) -> dict[str, Counter[Counted]]:
    return {account: Counter(cast("dict[Counted, int]", counts)) for account, counts in accounts.items()}


def raised(measurements: Measurements) -> list[Alert]:
    return list(alerts_for(measurements, LIMITS))


def test_no_alert_is_raised_when_nothing_happens() -> None:
    assert raised(NOTHING) == []


@pytest.mark.parametrize(
    ("counts", "kinds"),
    [
        ({"attacked": 1}, []),  # one of one
        ({"attacked": 9}, []),
        ({"attacked": 10}, ["attack_rate"]),
        ({"attacked": 10, "clean": 40}, ["attack_rate"]),
        ({"attacked": 10, "clean": 41}, []),
        ({"attacked": 200, "clean": 801}, []),
        ({"bad_signature": 1}, []),
        ({"bad_signature": 19}, []),
        ({"bad_signature": 20}, ["bad_signature_rate"]),
        ({"bad_signature": 20, "verified": 380}, ["bad_signature_rate"]),
        ({"bad_signature": 20, "verified": 381}, []),
        ({"bad_signature": 20, "attacked": 10, "clean": 3}, ["attack_rate", "bad_signature_rate"]),
        ({"verified": 10_000, "clean": 10_000}, []),
    ],
)
def test_a_rate_alert_needs_both_the_share_and_the_minimum_count(counts: dict[str, int], kinds: list[str]) -> None:
    assert [alert.kind for alert in raised(measured(**counts))] == kinds


def test_a_rate_alert_has_its_account_and_both_counts() -> None:
    counted = counters(default={"clean": 50}, north={"attacked": 12, "clean": 28})
    (alert,) = raised(replace(NOTHING, counters=counted))
    assert (alert.account, alert.biz_id, alert.at) == ("north", None, "2023-11-14T22:13:20.250Z")
    assert alert.detail == {"attacks": 12, "decisions": 40, "limit_share": 0.2, "window_seconds": 600}


def test_the_bad_signature_alert_counts_them_among_all_callbacks() -> None:
    (alert,) = raised(measured(bad_signature=30, verified=70))
    assert alert.detail == {"bad_signatures": 30, "callbacks": 100, "limit_share": 0.05, "window_seconds": 600}


def test_more_new_dead_letters_than_the_limit_raise_an_alert_with_their_causes() -> None:
    assert raised(replace(NOTHING, dead_letters=10)) == []
    (alert,) = raised(replace(NOTHING, dead_letters=11, causes=Counter({"verify.undecodable": 8, "publish.error": 3})))
    assert (alert.kind, alert.account) == ("dead_letters_growing", None)
    assert alert.detail == {
        "verify.undecodable": 8,
        "publish.error": 3,
        "dead_letters": 11,
        "limit": 10,
        "window_seconds": 600,
    }


def test_a_dead_letter_that_is_soon_deleted_raises_an_alert() -> None:
    day = 86_400
    assert raised(replace(NOTHING, oldest_dead_at=NOTHING.at - 24 * day)) == []
    (alert,) = raised(replace(NOTHING, oldest_dead_at=NOTHING.at - 25 * day))
    assert (alert.kind, alert.account) == ("dead_letters_expiring", None)
    assert alert.detail == {"oldest_days": 25.0, "retention_days": 30.0}


def test_a_message_older_than_the_limit_raises_an_alert() -> None:
    assert raised(replace(NOTHING, oldest_at=NOTHING.at - 300)) == []
    (alert,) = raised(replace(NOTHING, oldest_at=NOTHING.at - 300.5))
    assert (alert.kind, alert.account) == ("backlog_age", None)
    assert alert.detail == {"oldest_seconds": 300.5, "limit_seconds": 300}


def test_a_message_from_the_future_raises_no_alert() -> None:
    assert raised(replace(NOTHING, oldest_at=NOTHING.at + 60)) == []


def test_the_details_of_every_alert_are_numbers() -> None:
    everything = replace(
        measured(attacked=10, bad_signature=20),
        dead_letters=11,
        causes=Counter({"verify.poison": 11}),
        oldest_at=NOTHING.at - 301,
        oldest_dead_at=0.0,
    )
    alerts = raised(everything)
    assert len(alerts) == 5
    assert all(type(value) in (int, float) for alert in alerts for value in alert.detail.values())
    assert all(json.loads(alert.model_dump_json()) for alert in alerts)


def test_memory_over_its_share_is_an_alert_about_the_pipeline() -> None:
    assert raised(replace(NOTHING, memory=Memory(750, 1_000))) == []
    assert raised(replace(NOTHING, memory=Memory(10**12, 0))) == []
    (alert,) = raised(replace(NOTHING, memory=Memory(751, 1_000)))
    assert (alert.kind, alert.account, alert.detail) == (
        "memory",
        None,
        {"used_bytes": 751, "maxmemory_bytes": 1_000, "used_share": 0.751, "limit_share": 0.75},
    )


def test_a_clock_that_is_wrong_is_one_alert_that_names_the_worst_worker() -> None:
    assert raised(replace(NOTHING, skews={"one": 30.0, "two": -30.0})) == []
    (alert,) = raised(replace(NOTHING, skews={"one": 31.0, "two": -86_400.04, "three": 0.0}))
    assert (alert.kind, alert.account, alert.detail) == (
        "clock_skew",
        None,
        {"worker": "two", "skew_seconds": -86_400.0, "skewed_workers": 2, "workers": 3, "limit_seconds": 30.0},
    )
