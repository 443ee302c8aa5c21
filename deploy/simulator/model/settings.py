"""What the simulator is told at its start."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_PATH = "/faceid/lite"
"""Path of the vendor's API, as in `https://api-idn.megvii.com/faceid/lite`."""
BUILT_IN_KEY = "test_api_key_0001"
"""The api_key of the account that exists when no accounts are set."""


class SimulatorSettings(BaseSettings):
    """Read once, from arguments or from `FACEID_SIMULATOR_...` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="FACEID_SIMULATOR_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    listen: str = Field(default="127.0.0.1:8029", pattern=r"^\S+:\d{1,5}$")
    """`host:port`; port 0 takes a free one."""
    accounts: dict[str, SecretStr] = {BUILT_IN_KEY: SecretStr("test_api_secret_0001")}
    """`api_secret` by `api_key`; an account signs its callbacks with its `api_secret`."""
    any_port: bool = False
    """Accept a `notify_url` on ports that the vendor would refuse: for tests and demos on one machine."""
    seed: int | None = None
    """Makes ids and tokens the same in every run; None: random ones."""

    token_ttl_seconds: PositiveFloat = 3600
    flow_timeout_seconds: PositiveFloat = 3600
    """From get_token to the TIMEOUT of a flow that nobody has opened; the vendor's console allows 300 to 3600."""
    flow_seconds: NonNegativeFloat = 0
    """How long a user takes on the liveness page."""

    max_reads: PositiveInt = 3
    result_ttl_seconds: PositiveFloat = 86400
    failed_reads_count: bool = True
    """Whether a GetResult call that breaks half-way (hang, drop, 5xx) uses up a read: unknown of the vendor."""
    get_result_seconds: NonNegativeFloat = 0
    """How long GetResult works on an answer."""
    concurrency_limit: NonNegativeInt = 0
    """GetResult calls at a time for an api_key, above which CONCURRENCY_LIMIT_EXCEEDED is answered; 0: no limit."""

    raw_comma: bool = False
    """Put the comma of a biz_id into a GET return as it is, instead of `%2C`."""
    notify_attempts: PositiveInt = 4
    """How often one notify is posted until it is answered 2xx; the vendor's own schedule is unknown."""
    notify_retry_seconds: NonNegativeFloat = 1
    """Wait before each further attempt."""
    notify_timeout_seconds: PositiveFloat = 5

    max_sessions: PositiveInt = 100_000
    """The oldest session is forgotten above this, and any session a day after its result has expired."""
