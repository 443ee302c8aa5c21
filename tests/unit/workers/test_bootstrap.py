"""The parts of a worker, and what is wrong with their files."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.accounts import Account
from shared.settings import load_settings
from workers.bootstrap import load_policies, most_calls
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


@pytest.mark.parametrize(
    ("messages", "calls", "accounts", "most"),
    [(512, 256, 1, 256), (1024, 256, 3, 768), (512, 256, 3, 512), (8, 256, 1, 8)],
)
def test_there_is_a_connection_for_each_call_that_may_be_in_flight(
    messages: int, calls: int, accounts: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEID_PREFETCH", str(messages))
    monkeypatch.setenv("FACEID_GETRESULT_CONCURRENCY", str(calls))
    some = {str(number): account(str(number), None) for number in range(accounts)}
    assert most_calls(load_settings(), some) == most
