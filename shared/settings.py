"""Settings: read once at start from the environment, `.env` and secret files, then frozen.

All errors are reported together, by the name of the variable, and never with its value.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.messaging.engine import engine_of
from shared.server_urls import fault_of

ENV_PREFIX = "FACEID_"
SECRETS_DIR = Path("/run/secrets")
"""Default folder of secret files. FACEID_SECRETS_DIR names another one."""
LISTEN = re.compile(r"[^:\s]+:(?P<port>[0-9]{1,5})")
VENDOR_PORTS = (443, 5000, 16003, 8883, 8028)
"""The only ports that FaceID calls back to (official callback page)."""

Reconcile = Literal["always", "never"]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Proportion = Annotated[float, Field(gt=0, le=1)]
Url = Annotated[str, Field(repr=False)]
"""A URL that may hold a password."""


class SettingsError(Exception):
    """The settings are invalid. `faults` has a line for each error: the name, and what to fix."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def split_commas(value: object) -> object:
    """Split a comma-separated text into a tuple. Other values stay as they are."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything that a process is configured with. Durations are in seconds, sizes in bytes.

    The docstring of a setting is its meaning in `faceid settings` and in `.env.example`: one line.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    redis_url: Url = "redis://127.0.0.1:6379/0"
    """Redis with the ledger and the message sets, or redis+sentinel://HOST,HOST/NAME/DB; by default the queues too."""
    broker_url: Url = ""
    """Broker of the inner queues: redis://... or amqp://HOST;amqp://HOST (RabbitMQ). Empty: FACEID_REDIS_URL."""
    results_url: Url = ""
    """Broker of the results: redis://..., amqp://... or stock+redis://... Empty: FACEID_BROKER_URL."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "faceid"
    """First part of every Redis key, queue and exchange name."""

    api_key: SecretStr = SecretStr("")
    """API key of the FaceID account; GetResult needs it."""
    api_secrets: Secrets = ()
    """API secrets of the FaceID account, separated by commas, newest first; one or more are needed."""
    base_url: str = ""
    """FaceID's API, such as https://api-idn.megvii.com/faceid/lite; GetResult needs it."""
    policy: Path | None = None
    """Policy file (TOML) that turns evidence into decisions. Empty: the built-in policy."""
    reconcile: Reconcile = "always"
    """always: decide on GetResult's answer. never: trust the signed callback alone."""
    accounts: Path | None = None
    """TOML file with a [NAME] table for each FaceID account; it replaces the five settings above."""
    allow_http: bool = False
    """Whether a base URL may be http:// beyond this machine; GetResult's URL holds the API secret."""

    listen: str = "127.0.0.1:8028"
    """HOST:PORT on which the ingress receives callbacks."""
    admin_listen: str = ""
    """HOST:PORT of probes and metrics, or off. Empty: 127.0.0.1:9028 for the ingress, 127.0.0.1:9029 for workers."""
    return_redirect_url: str = ""
    """Where the user's browser is redirected from the return URL. Empty: a small page is shown."""
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """How long a request may take to arrive; after that it is answered 408."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = 262_144
    """Longest body that a callback may have; a longer one is answered 413."""
    max_backlog: Annotated[int, Field(ge=1)] = 1_000_000
    """Messages in the inner queues above which callbacks are answered 503."""
    max_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of Redis's maxmemory that callbacks may take once they are decided; others are answered 503."""
    store_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 0.8
    """How long the ingress tries to store a callback before it answers 503."""
    store_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    """Replicas of Redis that must have a callback before it is answered 200; with fewer it is answered 503."""

    getresult_budget: Annotated[int, Field(ge=1, le=3)] = 3
    """GetResult calls for one biz_id; FaceID allows three."""
    getresult_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    """How long one GetResult call may take."""
    getresult_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    """GetResult calls that one worker process makes at once for each account; fewer when FaceID refuses them."""
    read_spacing_seconds: Annotated[tuple[Seconds, ...], NoDecode, Field(min_length=1)] = (60.0, 600.0)
    """Delays after the first failed GetResult call, the second, ..., separated by commas; the last one repeats."""
    breaker_rest_seconds: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """First pause of GetResult for an account whose calls all fail; doubled with each failed probe, up to 20 times."""
    hint_delay_seconds: Seconds = 60.0
    """How long to wait for the signed callback after an unsigned return, before GetResult is called."""
    hint_cases_per_minute: Annotated[int, Field(ge=0)] = 10_000
    """New cases that unsigned returns may open for one account in a minute; further ones are dropped."""
    hint_reads_per_minute: Annotated[int, Field(ge=0)] = 600
    """GetResult calls that unsigned returns may cause for one account in a minute; further ones are given up."""
    token_life_seconds: Seconds = 3900.0
    """When an unfinished flow is checked again: an hour, as long as FaceID's tokens live, and five minutes."""

    lease_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 30.0
    """How long messages of a dead worker wait before another worker takes them over."""
    prefetch: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Messages that one worker process holds at once; those without a free GetResult call wait in it."""
    grace_seconds: Seconds = 20.0
    """How long a stopping worker may finish its messages before it hands them back."""
    max_attempts: Annotated[int, Field(ge=1)] = 8
    """Failed attempts after which a message becomes a dead letter."""
    unverified_max: Annotated[int, Field(ge=0)] = 100_000
    """Unverified callbacks that are kept; the oldest are deleted first."""
    unverified_max_bytes: Annotated[int | None, Field(ge=0)] = None
    """Bytes of all unverified callbacks. Empty: 5 % of Redis's maxmemory, or 64 MiB without maxmemory."""
    drop_evidence: bool = True
    """Whether evidence of published cases is deleted while Redis is almost full: 95 % of FACEID_MAX_MEMORY_SHARE."""
    retention_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """Days for which a case and its decision are kept, and at most for which results and stored messages are."""

    alert_window_seconds: Annotated[float, Field(ge=60, le=3600)] = 600.0
    """Period over which the alerts on rates count; a lasting alert is raised once in each period."""
    alert_attack_share: Proportion = 0.2
    """Alert: share of an account's decisions that name an attack."""
    alert_attack_min: Annotated[int, Field(ge=1)] = 10
    """Alert: fewest decisions that name an attack; below it the share is ignored."""
    alert_bad_signature_share: Proportion = 0.05
    """Alert: share of an account's callbacks with a bad signature."""
    alert_bad_signature_min: Annotated[int, Field(ge=1)] = 20
    """Alert: fewest callbacks with a bad signature; below it the share is ignored."""
    alert_dead_letters: Annotated[int, Field(ge=0)] = 10
    """Alert: new dead letters in a period; one more raises the alert."""
    alert_backlog_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
    """Alert: how long the oldest message may wait in a queue."""
    alert_memory_share: Proportion = 0.75
    """Alert: share of its maxmemory that the ledger's Redis uses."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""

    _split_lists = field_validator("api_secrets", "read_spacing_seconds", mode="before")(split_commas)

    @field_validator("redis_url", "broker_url", "results_url")
    @classmethod
    def _has_usable_addresses(cls, url: str, info: ValidationInfo) -> str:
        # A default is the value of the URL before it, whose error is already reported.
        before = ("redis_url", "broker_url")
        preceding = before[: before.index(info.field_name)] if info.field_name in before else before
        if all(name in info.data for name in preceding) and (fault := fault_of(url)):
            raise ValueError(fault)
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        if engine_of(url) != "streams":
            raise ValueError("must be a Redis URL, such as redis://127.0.0.1:6379/0: the ledger needs Redis")
        return url

    @field_validator("broker_url")
    @classmethod
    def _is_redis_or_amqp(cls, url: str, info: ValidationInfo) -> str:
        # Without a valid redis_url this may be its value, whose error is already reported.
        if "redis_url" in info.data and engine_of(url) == "stock":
            raise ValueError(
                "must be redis://... or amqp://...: no other broker can carry the queues between stages; "
                "stock+redis://... may be the FACEID_RESULTS_URL"
            )
        return url

    @field_validator("store_replicas")
    @classmethod
    def _counts_replicas_of_redis(cls, count: int, info: ValidationInfo) -> int:
        if count and engine_of(info.data.get("broker_url", "")) == "rabbit":
            raise ValueError("must be 0 with queues on RabbitMQ: a quorum queue confirms what most members have")
        return count

    @field_validator("listen")
    @classmethod
    def _is_host_and_port(cls, listen: str) -> str:
        if not (found := LISTEN.fullmatch(listen)) or int(found["port"]) > 65_535:
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:8028")
        return listen

    @field_validator("admin_listen")
    @classmethod
    def _is_host_and_port_or_off(cls, listen: str) -> str:
        return listen if listen in {"", "off"} else cls._is_host_and_port(listen)

    @model_validator(mode="before")
    @classmethod
    def _default_urls(cls, values: dict[str, Any]) -> dict[str, Any]:
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


def secrets_folder() -> Path:
    """The folder with secret files: FACEID_SECRETS_DIR, or /run/secrets."""
    return Path(os.environ.get(f"{ENV_PREFIX}SECRETS_DIR") or SECRETS_DIR)


def load_settings(secrets_dir: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of this process. Raises `SettingsError` with all errors."""
    folder = secrets_dir or secrets_folder()
    faults = []
    if not folder.is_dir() and folder != SECRETS_DIR:
        faults.append(f"{ENV_PREFIX}SECRETS_DIR: {folder} is not a folder that can be read")
    try:
        settings = Settings(_secrets_dir=folder if folder.is_dir() else None, **overrides)
    except ValidationError as error:
        faults += describe_errors(error, ENV_PREFIX)
    if faults:
        raise SettingsError(faults) from None
    return settings


def describe_errors(error: ValidationError, prefix: str) -> list[str]:
    """A line for each error: `prefix` and the name of the setting, and what to fix. Never its value."""
    named = prefix == ENV_PREFIX
    lines = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in fault["loc"][:1])
        lines.append(f"{prefix}{key.upper() if named else key}: {fault['msg'].removeprefix('Value error, ')}")
    return lines
