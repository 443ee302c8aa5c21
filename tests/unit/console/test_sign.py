import json

import pytest

from console.sign import FORM, describe, signed_form
from console.terminal.accounts import policy_of, secrets_of
from console.terminal.errors import UsageError
from shared.settings import Settings
from tests.support.payloads import new_envelope
from workers.faceid.verification import VerifiedArrival, verify

DATA = json.dumps({"status": "OK", "biz_info": {"biz_id": "1795334000,é+ &", "biz_no": 'a"b'}}).encode()
DATA_ASCII = DATA.replace(b"\\u00e9+ &", b"abc")


def verified(body: str, *secrets: str) -> VerifiedArrival:
    return verify(new_envelope("default", "notify", "POST", body.encode(), FORM, "", 0.0), secrets)


def test_signed_data_is_verified_whatever_it_contains() -> None:
    text = DATA_ASCII.replace(b'"OK"', '"+ & = % é 你"'.encode())

    assert verified(signed_form(text, "new"), "new").data.encode() == text


def test_the_description_numbers_the_secret_and_never_shows_it() -> None:
    lines = describe(verified(signed_form(DATA_ASCII, "old-secret"), "new-secret", "old-secret"), 2)

    assert lines[0] == "verified: signed with secret 2 of 2, an older one"
    assert "biz_id:   1795334000,abc" in lines
    assert "secret" not in "".join(lines[1:])


def test_unreadable_parts_are_named_without_their_values() -> None:
    text = DATA_ASCII.replace(b'"OK"', b'"OK", "liveness_result": "private"')

    lines = describe(verified(signed_form(text, "new"), "new"), 1)

    assert lines[-1].startswith("ignored:  liveness_result")
    assert "private" not in "".join(lines)


def test_the_default_account_needs_only_its_secrets() -> None:
    settings = Settings(api_secrets=("new", "old"), _env_file=None)

    assert secrets_of(settings, "default") == ["new", "old"]
    assert policy_of(settings, "default") is None


@pytest.mark.parametrize("account", ["default", "other"])
def test_a_missing_secret_or_account_is_an_error(account: str) -> None:
    with pytest.raises(UsageError, match="no "):
        secrets_of(Settings(_env_file=None), account)
