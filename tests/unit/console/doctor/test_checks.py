from dataclasses import replace
from typing import Any

import pytest

from console.doctor.checks import Environment, RedisEnvironment, diagnose
from console.doctor.probe import Probe, Refusal
from workers.faceid.getresult_client import Answer, Answered, Failed, Refused, Unread

REDIS = RedisEnvironment("7.2.4", "noeviction", True, "", "always", 100_000_000, 1_000_000_000, 0.01, 1)
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
        "capacity": "ok",
        "replicas": "ok",
        "clock": "ok",
        "broker": "ok",
        "results": "ok",
        "settings": "ok",
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
        ({"replicas": 0}, "replicas", "warn"),
        ({"skew_seconds": -1.5}, "clock", "warn"),
        ({"skew_seconds": 31.0}, "clock", "fail"),
    ],
)
def test_each_fault_of_redis_is_found_alone(changes: dict[str, Any], check: str, level: str) -> None:
    expected = levels(FIT) | {check: level}
    if changes.get("used_bytes", 0) > 0.9 * REDIS.limit_bytes:
        expected["capacity"] = "warn"

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
    assert [finding.check for finding in findings[1:]] == [
        *("broker", "results", "settings", "secrets", "policy of default", "port")
    ]


def test_every_finding_that_is_not_ok_says_what_to_do() -> None:
    worst = replace(
        FIT,
        redis=RedisEnvironment("5.0", "allkeys-lru", False, "", "", 99, 100, 60.0, 0),
        brokers={"FACEID_BROKER_URL": (Probe("", REFUSED),)},
        account_faults=("no secret",),
        policy_faults={"default": ("broken",)},
        port=80,
        unknown_settings={"FACEID_X": ""},
        unreconciled=("default",),
        calls={"default": Failed("HTTP_500")},
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


def test_a_name_that_is_no_setting_is_a_warning_with_the_nearest_one() -> None:
    unknown = {"FACEID_REDIS_ULR": "FACEID_REDIS_URL", "FACEID_X": ""}
    found = [finding for finding in diagnose(replace(FIT, unknown_settings=unknown)) if finding.check == "settings"]

    assert [(finding.level, finding.found, finding.hint) for finding in found] == [
        ("warn", "there is no setting FACEID_REDIS_ULR", "Did you mean FACEID_REDIS_URL?"),
        ("warn", "there is no setting FACEID_X", "faceid settings lists all settings."),
    ]


def test_an_account_that_is_not_reconciled_is_a_warning() -> None:
    assert levels(replace(FIT, unreconciled=("a",))) == levels(FIT) | {"reconcile of a": "warn"}


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (Refused("RESULT_NOT_FOUND"), "ok", "key, secret and URL are right"),
        (Unread("AUTHENTICATION_ERROR"), "fail", "FaceID knows no such key and secret"),
        (Unread("AUTHORIZATION_ERROR"), "fail", "may not call GetResult"),
        (Unread("API_NOT_FOUND"), "fail", "there is no GetResult at the URL"),
        (Unread("NO_CONNECTION"), "fail", "nothing answers at the URL"),
        (Unread("NO_FILE_DESCRIPTORS"), "fail", "this process may open no more files"),
        (Unread("CONCURRENCY_LIMIT_EXCEEDED"), "warn", "did not answer this time"),
        (Answered(b"<html>"), "fail", "it is not FaceID"),
        (Failed("HTTP_502"), "fail", "the call failed (HTTP_502)"),
    ],
)
def test_the_answer_to_a_call_tells_a_wrong_key_from_a_wrong_url(answer: Answer, level: str, words: str) -> None:
    (found,) = [f for f in diagnose(replace(FIT, calls={"a": answer})) if f.check == "GetResult of a"]

    assert found.level == level
    assert words in found.found
