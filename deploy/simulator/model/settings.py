"""The settings of the simulator."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

BASE_PATH = "/faceid/lite"
"""Path of the vendor's API, as in `https://api-idn.megvii.com/faceid/lite`."""
BUILT_IN_KEY = "test_api_key_0001"
"""The api_key of the account that exists when no accounts are set."""


class SimulatorSettings(BaseSettings):
    """Settings from arguments or from `FACEID_SIMULATOR_...` in the environment. Read once, at start."""

    model_config = SettingsConfigDict(
        env_prefix="FACEID_SIMULATOR_", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    listen: str = Field(default="127.0.0.1:8029", pattern=r"^\S+:\d{1,5}$")
    """`host:port`. Port 0 takes a free port."""
    accounts: dict[str, SecretStr] = {BUILT_IN_KEY: SecretStr("test_api_secret_0001")}
    """JSON object: the `api_secret` of each `api_key`. Callbacks are signed with the `api_secret` (vendor's scheme)."""
    any_port: bool = False
    """Accept a `notify_url` on any port. The vendor allows five ports only (official callback page)."""
    seed: int | None = None
    """Seed of ids and tokens: the same seed gives the same ones. None: random."""

    token_ttl_seconds: PositiveFloat = 3600
    """Life of a token. The vendor's is one hour (API documents, get_token)."""
    flow_timeout_seconds: PositiveFloat = 3600
    """Time from get_token to the TIMEOUT of a flow that nobody opens. The vendor's console allows 300 to 3600."""
    flow_seconds: NonNegativeFloat = 0
    """How long a user takes on the liveness page."""

    max_reads: PositiveInt = 3
    """GetResult reads per biz_id. The vendor allows three (API documents, GetResult)."""
    result_ttl_seconds: PositiveFloat = 86400
    """How long a result can be read. The vendor keeps it for a day (API documents, GetResult)."""
    failed_reads_count: bool = True
    """Whether a failed GetResult call (no answer, cut off, 5xx) uses up a read. The vendor does not say."""
    get_result_seconds: NonNegativeFloat = 0
    """How long GetResult takes to answer."""
    concurrency_limit: NonNegativeInt = 0
    """GetResult calls at a time for an api_key; more get CONCURRENCY_LIMIT_EXCEEDED. 0: no limit."""

    raw_comma: bool = False
    """Write the comma of the biz_id in a GET return as `,` instead of `%2C`."""
    notify_attempts: PositiveInt = 4
    """Most attempts to post a notify until it is answered with 2xx. The vendor does not say how often it tries."""
    notify_retry_seconds: NonNegativeFloat = 1
    """Wait before each further attempt."""
    notify_timeout_seconds: PositiveFloat = 5
    """How long to wait for the answer to a callback."""

    max_sessions: PositiveInt = 100_000
    """Above this the oldest session is forgotten. Every session is forgotten a day after its result expired."""
