"""A short fuzzing of the verifier. `make fuzz` does the long one."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.pipeline import Expected, Found, account, faults, load
from tests.fuzz.verifier import Broken, outcome, run, table
from tests.support.hostile_bodies import KINDS, SECRET, Attacker, sign
from workers.faceid import form, strict_json, verification


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**64), number=st.integers(0, 2**32))
def test_no_hostile_body_is_taken_for_signed_and_none_breaks_the_verifier(seed: int, number: int) -> None:
    assert outcome(Attacker(seed).body(number)) in {"verified", "bad_signature", "malformed"}


def test_bodies_of_every_kind_are_generated_and_counted_once() -> None:
    counts = run(600, seed=1)
    assert {kind for kind, _ in counts} == set(KINDS)
    assert counts.total() == 600
    assert table(counts).splitlines()[-1].split()[0] == "all"


def test_a_seed_and_a_number_reproduce_a_body() -> None:
    assert [Attacker(5).body(number) for number in range(50)] == [Attacker(5).body(number) for number in range(50)]


def first_of_doubled(pairs: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in pairs if key == name), b"")


def last_of_doubled_keys(raw: bytes) -> Any:
    return json.loads(raw)


def without_the_tail(raw: bytes) -> Any:
    return json.JSONDecoder().raw_decode(raw.decode("latin-1"))[0]


def in_any_case(secrets: list[str], data: bytes, given: str) -> int | None:
    return 0 if sign(SECRET, data) == given.strip().lower() else None


def without_comparing(secrets: list[str], data: bytes, given: str) -> int | None:
    return 0


@pytest.mark.parametrize(
    ("module", "name", "hole"),
    [
        (form, "_single", first_of_doubled),
        (strict_json, "_parse", last_of_doubled_keys),
        (strict_json, "_parse", without_the_tail),
        (verification, "match_secret", in_any_case),
        (verification, "match_secret", without_comparing),
    ],
)
def test_the_fuzzing_finds_a_hole_that_is_there(
    module: object, name: str, hole: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, hole)
    with pytest.raises((Broken, ValueError)):
        run(3000, seed=1)


def perfect(bodies: int) -> tuple[Expected, Found]:
    """What must become of so many bodies, and exactly that found."""
    expected = Expected()
    for hostile in load(bodies, seed=4):
        expected.add(hostile)
    decided = [(biz_id, next(iter(outcomes))) for biz_id, outcomes in expected.outcomes.items()]
    return expected, Found(
        Counter({200: bodies}), expected.refused, expected.noted, decided, dead=0, pending=0, died=[]
    )


def test_a_complete_account_has_no_fault() -> None:
    expected, found = perfect(100)
    assert faults(expected, found) == []
    assert "posted           100  answered 200: 100" in account(found)
    assert "sum              100" in account(found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda found: {"decided": found.decided[1:]},
        lambda found: {"decided": [*found.decided, found.decided[0]]},
        lambda found: {"decided": [(found.decided[0][0], "ANOTHER"), *found.decided[1:]]},
        lambda found: {"decided": [*found.decided, ("1462259748,forged", "APPROVED")]},
        lambda found: {"noted": found.noted + 1},
        lambda found: {"refused": found.refused - Counter(list(found.refused)[:1])},
        lambda found: {"refused": found.refused + Counter([("malformed", "", "x")])},
        lambda found: {"statuses": Counter({200: 99, 503: 1})},
        lambda found: {"dead": 1},
        lambda found: {"pending": 1},
        lambda found: {"died": ["worker-1"]},
    ],
)
def test_the_account_notices_whatever_is_missing_or_too_much(wrong: Any) -> None:
    expected, found = perfect(100)
    assert faults(expected, replace(found, **wrong(found)))
