"""Check the api_key and api_secret of a call."""

import hmac
from collections.abc import Mapping

from deploy.simulator.model.api_errors import ApiError, missing_argument
from deploy.simulator.model.settings import SimulatorSettings


def authenticate(settings: SimulatorSettings, fields: Mapping[str, str]) -> str:
    """The api_key of a call. Raises `ApiError` when key or secret are missing or wrong."""
    for name in ("api_key", "api_secret"):
        if not fields.get(name):
            raise missing_argument(name)
    secret = settings.accounts.get(fields["api_key"])
    given = fields["api_secret"].encode()
    if secret is None or not hmac.compare_digest(secret.get_secret_value().encode(), given):
        raise ApiError("AUTHENTICATION_ERROR")
    return fields["api_key"]
