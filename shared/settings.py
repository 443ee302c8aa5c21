"""Settings: read once at start from the environment, `.env` and secret files, then frozen.

Every fault is reported together, by the name an operator would set, and never with the value it had.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.messaging.engine import engine_of

ENV_PREFIX = "FACEID_"
SECRETS_DIR = Path("/run/secrets")
ACCOUNT_NAME = re.compile(r"(?!_$)[A-Za-z0-9_-]{1,64}")
"""`_` stands in routing keys for no account."""
LISTEN = re.compile(r"[^:\s]+:(?P<port>[0-9]{1,5})")
VENDOR_PORTS = (443, 5000, 16003, 8883, 8028)
"""The only ports FaceID calls back to (official page, Callbacks)."""

Reconcile = Literal["always", "never"]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Proportion = Annotated[float, Field(gt=0, le=1)]
Url = Annotated[str, Field(repr=False)]
"""It may hold a password."""
_HTTP_URL: Final[TypeAdapter[AnyHttpUrl]] = TypeAdapter(AnyHttpUrl)


class SettingsError(Exception):
    """The settings can't be used; `faults` says what to mend, a line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def _split(value: object) -> object:
    """A comma list as a tuple; lists stay as they are."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Account(BaseModel):
    """One FaceID account: its key, its live secrets (newest first), its base URL and its policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    name: str
    reconcile: Reconcile = "always"
    api_key: SecretStr = SecretStr("")
    api_secrets: tuple[SecretStr, ...] = ()
    base_url: str = ""
    policy: Path | None = None

    _split_secrets = field_validator("api_secrets", mode="before")(_split)

    @field_validator("api_secrets")
    @classmethod
    def _live(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not secrets or not all(secret.get_secret_value() for secret in secrets):
            raise ValueError("needs one secret or more, none of them empty")
        return secrets

    @field_validator("api_key", "base_url")
    @classmethod
    def _can_read_results(cls, value: SecretStr | str, info: ValidationInfo) -> SecretStr | str:
        if info.data.get("reconcile") == "always" and not value:
            raise ValueError("GetResult needs it; set it, or set reconcile to never")
        return value

    @field_validator("base_url")
    @classmethod
    def _callable(cls, value: str) -> str:
        if value:
            _HTTP_URL.validate_python(value)
        return value


class Settings(BaseSettings):
    """All that a process is told from outside. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    redis_url: Url = "redis://127.0.0.1:6379/0"
    """Ledger, delayed retries and dead letters; the queues too unless `broker_url` says otherwise."""
    broker_url: Url = ""
    results_url: Url = ""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "faceid"

    api_key: SecretStr = SecretStr("")
    api_secrets: Secrets = ()
    base_url: str = ""
    policy: Path | None = None
    reconcile: Reconcile = "always"
    accounts: Path | None = None

    listen: str = "127.0.0.1:8028"
    return_redirect_url: str = ""
    max_body_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = 262_144
    max_backlog: Annotated[int, Field(ge=1)] = 1_000_000
    max_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of Redis's maxmemory above which no callback is taken in: the rest is for the work on those it holds."""
    store_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 0.8
    """How long a callback may wait to be stored before it is answered 503."""

    getresult_budget: Annotated[int, Field(ge=1, le=3)] = 3
    getresult_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    read_spacing_seconds: Annotated[tuple[Seconds, ...], NoDecode, Field(min_length=1)] = (60.0, 600.0)
    """Rest after the first failed read of a result, after the second, ...; the last one repeats."""
    breaker_rest_seconds: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """First rest of an account whose every read fails; doubled with each failed probe, up to twenty times as long."""
    hint_delay_seconds: Seconds = 60.0
    """How long a signed callback has to follow a GET return before the hint is looked at."""
    hint_cases_per_minute: Annotated[int, Field(ge=0)] = 100_000
    """Cases that GET returns, which anybody can make up, may open for an account; the others are dropped."""
    hint_reads_per_minute: Annotated[int, Field(ge=0)] = 600
    """Reads of GetResult that they may cost an account; the others are given up."""
    token_life_seconds: Seconds = 3900.0
    """An hour, as FaceID's tokens live, and a little: when an unfinished flow is looked at again."""

    lease_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    prefetch: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Items in work at once in one worker process."""
    grace_seconds: Seconds = 20.0
    """How long a stopping worker may finish what it holds before it hands it back."""
    max_attempts: Annotated[int, Field(ge=1)] = 8
    unverified_max: Annotated[int, Field(ge=0)] = 100_000
    """Unverified callbacks kept; the oldest go first."""
    retention_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0

    alert_window_seconds: Annotated[float, Field(ge=60, le=3600)] = 600.0
    """How far the alerts on rates look back; an alert that lasts is raised once in as long."""
    alert_attack_share: Proportion = 0.2
    """Share of an account's decisions that name an attack."""
    alert_attack_min: Annotated[int, Field(ge=1)] = 10
    """So many of them at least."""
    alert_bad_signature_share: Proportion = 0.05
    """Share of an account's callbacks that none of its secrets has signed."""
    alert_bad_signature_min: Annotated[int, Field(ge=1)] = 20
    """So many of them at least."""
    alert_dead_letters: Annotated[int, Field(ge=0)] = 10
    """New dead letters in a window; one more raises an alert."""
    alert_backlog_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
    """How long a message may wait to be worked on."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _split_secrets = field_validator("api_secrets", "read_spacing_seconds", mode="before")(_split)

    @field_validator("redis_url")
    @classmethod
    def _holds_the_ledger(cls, url: str) -> str:
        if engine_of(url) != "streams":
            raise ValueError("has to be a Redis URL, such as redis://127.0.0.1:6379/0; other brokers hold no ledger")
        return url

    @field_validator("broker_url")
    @classmethod
    def _carries_the_queues(cls, url: str, info: ValidationInfo) -> str:
        if "redis_url" in info.data and engine_of(url) == "stock":  # without it this may be the same fault again
            raise ValueError(
                "has to be redis://... or amqp://...; no other broker can carry the inner queues, "
                "but FACEID_RESULTS_URL takes any that kombu knows"
            )
        return url

    @field_validator("listen")
    @classmethod
    def _bindable(cls, listen: str) -> str:
        if not (found := LISTEN.fullmatch(listen)) or int(found["port"]) > 65_535:
            raise ValueError("has to be HOST:PORT, such as 127.0.0.1:8028")
        return listen

    @model_validator(mode="before")
    @classmethod
    def _chain_urls(cls, values: dict[str, Any]) -> dict[str, Any]:
        redis = values.get("redis_url") or cls.model_fields["redis_url"].default
        values["broker_url"] = values.get("broker_url") or redis
        values["results_url"] = values.get("results_url") or values["broker_url"]
        return values

    @property
    def host(self) -> str:
        """The address the ingress listens on."""
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port the ingress listens on."""
        return int(self.listen.rpartition(":")[2])


def load_settings(secrets_dir: Path | None = None, **overrides: Any) -> Settings:
    """The settings of this process; raises `SettingsError` with every fault at once."""
    folder = secrets_dir or Path(os.environ.get(f"{ENV_PREFIX}SECRETS_DIR", SECRETS_DIR))
    try:
        return Settings(_secrets_dir=folder if folder.is_dir() else None, **overrides)
    except ValidationError as error:
        raise SettingsError(_faults(error, ENV_PREFIX)) from None


def load_accounts(settings: Settings) -> dict[str, Account]:
    """The accounts by name, secrets and all: for workers only. Raises `SettingsError`."""
    if settings.accounts is None:
        keys = ("api_key", "api_secrets", "base_url", "policy", "reconcile")
        return _accounts({"default": {key: getattr(settings, key) for key in keys}}, ENV_PREFIX)
    return _accounts(_tables(settings.accounts), "")


def account_names(settings: Settings) -> frozenset[str]:
    """The accounts whose callbacks are accepted: all that the ingress knows of them."""
    return frozenset(_tables(settings.accounts)) if settings.accounts else frozenset({"default"})


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{ENV_PREFIX}ACCOUNTS: {path} can't be read as TOML ({type(error).__name__})"]) from None
    bad = [name for name, table in tables.items() if not (ACCOUNT_NAME.fullmatch(name) and isinstance(table, dict))]
    if bad or not tables:
        raise SettingsError([f"{ENV_PREFIX}ACCOUNTS: {path} must hold one [NAME] table for each account"])
    return tables


def _accounts(tables: dict[str, dict[str, Any]], prefix: str) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    faults: list[str] = []
    for name, table in tables.items():
        try:
            accounts[name] = Account.model_validate({**table, "name": name})
        except ValidationError as error:
            faults += _faults(error, prefix or f"[{name}] ")
    if faults:
        raise SettingsError(faults)
    return accounts


def _faults(error: ValidationError, prefix: str) -> list[str]:
    named = prefix == ENV_PREFIX
    lines = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"][:1])
        lines.append(f"{prefix}{key.upper() if named else key}: {fault['msg'].removeprefix('Value error, ')}")
    return lines
