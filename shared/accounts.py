"""The FaceID accounts that a pipeline serves: one by the settings, or several by a TOML file."""

import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from shared.settings import ENV_PREFIX, Reconcile, Settings, SettingsError, describe_errors, split_commas

ACCOUNT_NAME = re.compile(r"(?!_$)[A-Za-z0-9_-]{1,64}")
"""Allowed account names. `_` is reserved: in routing keys it means no account."""
_PLACE: Final = re.compile(r"line \d+, column \d+|end of document")
_HTTP_URL: Final[TypeAdapter[AnyHttpUrl]] = TypeAdapter(AnyHttpUrl)


class Account(BaseModel):
    """One FaceID account, from the accounts file or from the settings of the account `default`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    name: str
    reconcile: Reconcile = "always"
    """`always`: decide on GetResult's answer. `never`: decide on the signed callback alone."""
    api_key: SecretStr = SecretStr("")
    api_secrets: tuple[SecretStr, ...] = ()
    """The valid secrets, newest first. Callbacks may be signed with any of them."""
    base_url: str = ""
    """URL of FaceID's API, such as `https://api-idn.megvii.com/faceid/lite`."""
    policy: Path | None = None
    """Policy file; in the accounts file, relative to its folder. None: the built-in policy."""

    _split_secrets = field_validator("api_secrets", mode="before")(split_commas)

    @field_validator("api_secrets")
    @classmethod
    def _not_empty(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not secrets or not all(secret.get_secret_value() for secret in secrets):
            raise ValueError("set one secret or more; none may be empty")
        return secrets

    @field_validator("api_key", "base_url")
    @classmethod
    def _set_for_getresult(cls, value: SecretStr | str, info: ValidationInfo) -> SecretStr | str:
        if info.data.get("reconcile") == "always" and not value:
            raise ValueError("required to call GetResult: set it, or set reconcile to never")
        return value

    @field_validator("base_url")
    @classmethod
    def _url_that_keeps_the_secret(cls, value: str, info: ValidationInfo) -> str:
        if value:
            url = _HTTP_URL.validate_python(value)
            if url.scheme == "http" and not _is_loopback(url.host or "") and not (info.context or {}).get("allow_http"):
                raise ValueError(
                    f"must be https://, since the API secret is sent in the URL; {ENV_PREFIX}ALLOW_HTTP=1 allows http://"
                )
        return value


def _is_loopback(host: str) -> bool:
    """Whether a host of a parsed URL is this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def load_accounts(settings: Settings) -> dict[str, Account]:
    """The accounts by name, with their secrets. For workers only. Raises `SettingsError` with all errors."""
    if settings.accounts is None:
        keys = ("api_key", "api_secrets", "base_url", "policy", "reconcile")
        tables = {"default": {key: getattr(settings, key) for key in keys}}
        return _accounts(tables, ENV_PREFIX, allow_http=settings.allow_http)
    tables = {name: _beside(settings.accounts, table) for name, table in _tables(settings.accounts).items()}
    return _accounts(tables, "", allow_http=settings.allow_http)


def account_names(settings: Settings) -> frozenset[str]:
    """The names of the accounts whose callbacks are accepted. Raises `SettingsError`."""
    return frozenset(_tables(settings.accounts)) if settings.accounts else frozenset({"default"})


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{ENV_PREFIX}ACCOUNTS: {path} can't be read: {_cause(error)}"]) from None
    bad = [name for name, table in tables.items() if not (ACCOUNT_NAME.fullmatch(name) and isinstance(table, dict))]
    if bad or not tables:
        raise SettingsError(
            [f"{ENV_PREFIX}ACCOUNTS: {path} must contain a [NAME] table for each account, and nothing else"]
        )
    return tables


def _beside(file: Path, table: dict[str, Any]) -> dict[str, Any]:
    """The table, with a relative path of its policy taken from the folder of the file."""
    policy = table.get("policy")
    return table | {"policy": file.absolute().parent / policy} if isinstance(policy, str) else table


def _cause(error: Exception) -> str:
    """Why a file can't be read. Of a parser's text only the place: the rest may quote a secret."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    place = _PLACE.search(str(error))
    return f"it is not TOML{f', see {place[0]}' if place else ''}"


def _accounts(tables: dict[str, dict[str, Any]], prefix: str, *, allow_http: bool) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    faults: list[str] = []
    for name, table in tables.items():
        try:
            accounts[name] = Account.model_validate({**table, "name": name}, context={"allow_http": allow_http})
        except ValidationError as error:
            faults += describe_errors(error, prefix or f"[{name}] ")
    if faults:
        raise SettingsError(faults)
    return accounts
