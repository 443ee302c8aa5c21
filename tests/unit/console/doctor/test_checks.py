from dataclasses import replace
from typing import Any

import pytest

from console.doctor.checks import Environment, RedisEnvironment, diagnose
from console.doctor.probe import Probe, Refusal

REDIS = RedisEnvironment("7.2.4", "noeviction", True, "", "always", 100_000_000, 1_000_000_000, 0.01)
FINE = (Probe("", "reachable"),)
RABBIT = (Probe("", "reachable, version 3.10.8"), Probe("queues", "declared"), Probe("confirms", "given"))
FIT = Environment(REDIS, {"FACEID_BROKER_URL": FINE, "FACEID_RESULTS_URL": FINE}, (), {"default": ()}, 8028)
REFUSED = Refusal("nothing listens there", "Start it.")


def levels(environment: Environment) -> dict[str, str]:
    return {finding.check: finding.level for finding in diagnose(environment)}


def test_a_good_installation_passes_every_check() -> None:
    assert levels(FIT) == {
        "redis": "ok",
        "version": "ok",
        "eviction": "ok",
        "append-only": "ok",
        "memory": "ok",
        "clock": "ok",
        "broker": "ok",
        "results": "ok",
        "secrets": "ok",
        "policy of default": "ok",
        "port": "ok",
    }


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"version": "6.2.14"}, "version", "ok"),
        ({"version": "6.0.16"}, "version", "fail"),
        ({"version": "10.0"}, "version", "ok"),
        ({"eviction": "allkeys-lru"}, "eviction", "fail"),
        ({"appends": False}, "append-only", "fail"),
        ({"append_fault": "err"}, "append-only", "fail"),
        ({"fsync": "everysec"}, "append-only", "warn"),
        ({"fsync": ""}, "append-only", "warn"),
        ({"fsync": "no"}, "append-only", "fail"),
        ({"limit_bytes": 0}, "memory", "warn"),
        ({"used_bytes": 750_000_000}, "memory", "warn"),
        ({"used_bytes": 950_000_000}, "memory", "fail"),
        ({"skew_seconds": -1.5}, "clock", "warn"),
        ({"skew_seconds": 31.0}, "clock", "fail"),
    ],
)
def test_each_fault_of_redis_is_found_alone(changes: dict[str, Any], check: str, level: str) -> None:
    expected = levels(FIT) | {check: level}

    assert levels(replace(FIT, redis=replace(REDIS, **changes))) == expected


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        (
            {"brokers": {"FACEID_BROKER_URL": FINE, "FACEID_RESULTS_URL": (Probe("", REFUSED),)}},
            "results",
            "fail",
        ),
        ({"account_faults": ("FACEID_API_SECRETS: needs one",)}, "secrets", "fail"),
        ({"policy_faults": {"default": ("version: missing",)}}, "policy of default", "fail"),
        ({"port": 8080}, "port", "warn"),
    ],
)
def test_each_other_fault_is_found_alone(changes: dict[str, Any], check: str, level: str) -> None:
    assert levels(replace(FIT, **changes)) == levels(FIT) | {check: level}


def test_without_redis_its_other_checks_are_left_out() -> None:
    findings = diagnose(replace(FIT, redis="Connection refused."))

    assert (findings[0].check, findings[0].level, findings[0].found) == ("redis", "fail", "Connection refused.")
    assert [finding.check for finding in findings[1:]] == ["broker", "results", "secrets", "policy of default", "port"]


def test_every_finding_that_is_not_ok_says_what_to_do() -> None:
    worst = replace(
        FIT,
        redis=RedisEnvironment("5.0", "allkeys-lru", False, "", "", 99, 100, 60.0),
        brokers={"FACEID_BROKER_URL": (Probe("", REFUSED),)},
        account_faults=("no secret",),
        policy_faults={"default": ("broken",)},
        port=80,
    )

    assert all(bool(finding.hint) == (finding.level != "ok") for finding in diagnose(worst) + diagnose(FIT))


def test_each_probe_of_rabbitmq_is_a_check() -> None:
    found = levels(replace(FIT, brokers={"FACEID_BROKER_URL": RABBIT}))
    clash = levels(replace(FIT, brokers={"FACEID_BROKER_URL": (RABBIT[0], Probe("queues", REFUSED))}))

    assert [(name, level) for name, level in found.items() if name.startswith("broker")] == [
        ("broker", "ok"),
        ("broker queues", "ok"),
        ("broker confirms", "ok"),
    ]
    assert (clash["broker"], clash["broker queues"]) == ("ok", "fail")
