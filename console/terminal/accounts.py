"""Secrets and policy of one account. A command reads only the settings that it needs."""

from pathlib import Path

from console.terminal.errors import UsageError
from shared.accounts import Account, load_accounts
from shared.settings import Settings


def secrets_of(settings: Settings, name: str) -> list[str]:
    """The account's secrets, newest first. Raises `UsageError` or `SettingsError`."""
    if settings.accounts is None:
        _require_default(name)
        found = settings.api_secrets
        if not found:
            raise UsageError("There is no secret to sign with.", "Set FACEID_API_SECRETS.")
    else:
        found = _account(settings, name).api_secrets
    return [secret.get_secret_value() for secret in found]


def policy_of(settings: Settings, name: str) -> Path | None:
    """The account's policy file; None for the built-in policy. Raises `UsageError` or `SettingsError`."""
    if settings.accounts is None:
        _require_default(name)
        return settings.policy
    return _account(settings, name).policy


def _require_default(name: str) -> None:
    if name != "default":
        raise UsageError(
            f"There is no account {name}.",
            "The only account is default. Set FACEID_ACCOUNTS to a TOML file for more accounts.",
        )


def _account(settings: Settings, name: str) -> Account:
    accounts = load_accounts(settings)
    if name not in accounts:
        raise UsageError(f"There is no account {name}.", f"FACEID_ACCOUNTS has {', '.join(sorted(accounts))}.")
    return accounts[name]
