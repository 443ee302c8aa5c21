"""The verify stage: what it returns for signed, unsigned and unverified requests."""

import json

import pytest
from msgspec.structs import replace

from shared.messaging.envelope import Envelope
from tests.support.cases import unsigned
from tests.support.payloads import BIZ_ID, ISSUED_AT, SECRET, changed, posted, returned, signed
from workers.faceid.verification import VerifiedArrival
from workers.runtime import stage_result
from workers.stages.verify import Verify

RETENTION = 30 * 86_400.0
STAGE = Verify({"default": (SECRET, "older secret")}, RETENTION)


async def verify(envelope: Envelope) -> stage_result.StageResult:
    return await STAGE.run(envelope, STAGE.load(envelope.body))


@pytest.mark.parametrize(("secret", "index"), [(SECRET, 0), ("older secret", 1)])
async def test_a_signed_callback_is_verified_by_any_live_secret(secret: str, index: int) -> None:
    result = await verify(signed(json.dumps(changed("clean-pass")), secret))
    assert isinstance(result, stage_result.Forward)
    assert isinstance(result.value, VerifiedArrival)
    assert (result.value.biz_id, result.value.secret) == (BIZ_ID, index)


async def test_a_return_by_get_is_forwarded_as_an_unsigned_return() -> None:
    assert await verify(returned(f"biz_id={BIZ_ID}")) == stage_result.Forward(unsigned())


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (signed(json.dumps(changed("clean-pass")), "a forger's secret"), "bad_signature"),
        (signed(b"not json"), "malformed"),
        (posted(b"no form at all"), "malformed"),
        (returned("order=5"), "malformed"),
    ],
)
async def test_a_request_that_is_not_verified_returns_its_reason(envelope: Envelope, reason: str) -> None:
    result = await verify(envelope)
    assert isinstance(result, stage_result.Unverified)
    assert result.reason == reason


async def test_verify_of_an_unknown_account_is_a_dead_letter() -> None:
    result = await STAGE.run(Envelope("i1", "unknown", "notify", "POST", 1.0, b""), b"")
    assert isinstance(result, stage_result.DeadLetter)
    assert result.reason == "unknown_account"


@pytest.mark.parametrize(
    ("age", "accepted"),
    [(0.0, True), (RETENTION, True), (RETENTION + 1, False), (-3600.0, True), (-3601.0, False)],
    ids=["now", "oldest", "expired", "an hour ahead", "further ahead"],
)
async def test_a_biz_id_outside_the_retention_time_is_stale(age: float, accepted: bool) -> None:
    for envelope in (signed(json.dumps(changed("clean-pass"))), returned(f"biz_id={BIZ_ID}")):
        result = await verify(replace(envelope, received_at=ISSUED_AT + age))
        assert isinstance(result, stage_result.Forward if accepted else stage_result.Unverified)
        assert accepted or getattr(result, "reason", "") == "stale"


async def test_a_biz_id_without_a_time_is_never_stale() -> None:
    envelope = signed(json.dumps(changed("clean-pass", biz_info__biz_id="no-time")))
    assert isinstance(await verify(replace(envelope, received_at=2e9)), stage_result.Forward)


async def test_a_forged_callback_that_is_old_has_a_bad_signature() -> None:
    envelope = signed(json.dumps(changed("clean-pass")), "a forger's secret")
    result = await verify(replace(envelope, received_at=2e9))
    assert isinstance(result, stage_result.Unverified)
    assert result.reason == "bad_signature"
