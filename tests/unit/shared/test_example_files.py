"""`.env.example` and `accounts.example.toml` have every setting, and only settings that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.accounts import Account, load_accounts
from shared.settings import Settings
from tests.support.paths import ROOT

ENV_EXAMPLE = (ROOT / ".env.example").read_text()
ACCOUNTS_EXAMPLE = ROOT / "accounts.example.toml"


def written(default: Any) -> str:
    """A default as it is written in `.env`."""
    match default:
        case None | SecretStr():
            return ""
        case tuple():
            return ",".join(map(written, default))
        case float():
            return f"{default:.12g}"
    return str(default)


def test_env_example_has_every_setting_with_its_meaning_and_default() -> None:
    entries = re.findall(r"^# (.*)\n#(FACEID_\w+)=(.*)$", ENV_EXAMPLE, re.MULTILINE)

    assert entries == [
        (field.description, f"FACEID_{name.upper()}", written(field.default))
        for name, field in Settings.model_fields.items()
    ]
    assert len(entries) == ENV_EXAMPLE.count("\n#FACEID_")


def test_env_example_changes_nothing_when_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(ENV_EXAMPLE.replace("\n#FACEID_", "\nFACEID_"))
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FACEID_{name.upper()}", raising=False)

    assert Settings(_env_file=tmp_path / ".env") == Settings(_env_file=None)


def test_accounts_example_has_every_key_of_an_account_with_a_comment() -> None:
    first = ACCOUNTS_EXAMPLE.read_text().partition("\n[shop]\n")[2].partition("\n[")[0]
    keys = re.findall(r"^# .+\n#?(\w+) = ", first, re.MULTILINE)

    assert sorted(keys) == sorted(set(Account.model_fields) - {"name"})


def test_accounts_example_can_be_used(tmp_path: Path) -> None:
    uncommented = tmp_path / "accounts.toml"
    uncommented.write_text(re.sub(r"^#(\w+ = )", r"\1", ACCOUNTS_EXAMPLE.read_text(), flags=re.MULTILINE))

    for path in (ACCOUNTS_EXAMPLE, uncommented):
        accounts = load_accounts(Settings(accounts=path, _env_file=None))
        assert set(accounts) == {"shop", "bank"}
        assert [secret.get_secret_value() for secret in accounts["shop"].api_secrets] == ["NEW_SECRET", "OLD_SECRET"]
