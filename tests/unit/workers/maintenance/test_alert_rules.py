"""When a rate, the dead letters or the backlog give reason to an alert, and when not."""

import json
from collections import Counter
from dataclasses import replace
from typing import cast

import pytest

from shared.events.alert import Alert
from shared.ledger.counters import Counted
from workers.maintenance.alert_rules import AlertLimits, Observation, Share, amiss

LIMITS = AlertLimits(
    window=600.0,
    attacks=Share(0.2, 10),
    bad_signatures=Share(0.05, 20),
    dead_letters=10,
    backlog_age=300.0,
)
QUIET = Observation(
    at=1_700_000_000.25, counters={"default": Counter[Counted]()}, dead=0, causes=Counter(), oldest=None
)


def seen(**counts: int) -> Observation:
    """What was counted of one account."""
    return replace(QUIET, counters=counters(default=counts))


def counters(**accounts: dict[str, int]) -> dict[str, Counter[Counted]]:
    return {account: Counter(cast("dict[Counted, int]", counts)) for account, counts in accounts.items()}


def raised(observation: Observation) -> list[Alert]:
    return list(amiss(observation, LIMITS))


def test_nothing_is_amiss_where_nothing_happens() -> None:
    assert raised(QUIET) == []


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
def test_a_share_is_too_large_from_its_limit_on_and_never_of_a_few(counts: dict[str, int], kinds: list[str]) -> None:
    assert [alert.kind for alert in raised(seen(**counts))] == kinds


def test_an_alert_on_a_rate_names_its_account_and_says_how_many_of_how_many() -> None:
    counted = counters(default={"clean": 50}, north={"attacked": 12, "clean": 28})
    (alert,) = raised(replace(QUIET, counters=counted))
    assert (alert.account, alert.biz_id, alert.at) == ("north", None, "2023-11-14T22:13:20.250Z")
    assert alert.detail == {"attacks": 12, "decisions": 40, "limit_share": 0.2, "window_seconds": 600}


def test_bad_signatures_are_told_among_all_callbacks() -> None:
    (alert,) = raised(seen(bad_signature=30, verified=70))
    assert alert.detail == {"bad_signatures": 30, "callbacks": 100, "limit_share": 0.05, "window_seconds": 600}


def test_dead_letters_grow_when_more_than_the_limit_are_new() -> None:
    assert raised(replace(QUIET, dead=10)) == []
    (alert,) = raised(replace(QUIET, dead=11, causes=Counter({"verify.undecodable": 8, "publish.error": 3})))
    assert (alert.kind, alert.account) == ("dead_letters_growing", None)
    assert alert.detail == {
        "verify.undecodable": 8,
        "publish.error": 3,
        "dead_letters": 11,
        "limit": 10,
        "window_seconds": 600,
    }


def test_a_backlog_is_too_old_beyond_its_limit() -> None:
    assert raised(replace(QUIET, oldest=QUIET.at - 300)) == []
    (alert,) = raised(replace(QUIET, oldest=QUIET.at - 300.5))
    assert (alert.kind, alert.account) == ("backlog_age", None)
    assert alert.detail == {"oldest_seconds": 300.5, "limit_seconds": 300}


def test_a_clock_that_is_behind_the_brokers_raises_nothing() -> None:
    assert raised(replace(QUIET, oldest=QUIET.at + 60)) == []


def test_the_details_are_numbers() -> None:
    everything = replace(
        seen(attacked=10, bad_signature=20), dead=11, causes=Counter({"verify.poison": 11}), oldest=QUIET.at - 301
    )
    alerts = raised(everything)
    assert len(alerts) == 4
    assert all(type(value) in (int, float) for alert in alerts for value in alert.detail.values())
    assert all(json.loads(alert.model_dump_json()) for alert in alerts)
