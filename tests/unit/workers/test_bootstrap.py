"""The parts of a worker, and what is wrong with their files."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.accounts import Account
from workers.bootstrap import load_policies
from workers.decisioning.policy import PolicyError


def account(name: str, policy: Path | None) -> Account:
    return Account(name=name, reconcile="never", api_secrets=(SecretStr("s"),), policy=policy)


def test_policies_that_can_not_be_used_are_named_with_file_and_account(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.toml").write_text("version = \n")
    accounts = {
        "a": account("a", tmp_path / "nope.toml"),
        "b": account("b", broken),
        "c": account("c", None),
    }

    with pytest.raises(PolicyError) as error:
        load_policies(accounts)

    missing, no_toml = error.value.faults
    assert missing == f"{tmp_path}/nope.toml (account a): can't be read: No such file or directory"
    assert no_toml.startswith(f"{broken} (account b): is not TOML: ")
    assert "line 1" in no_toml
