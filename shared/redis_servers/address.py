"""The address of a Redis in a URL: of the server itself, or of the Sentinels that know it."""

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.connection import parse_url

SENTINEL_PORT: Final = 26379
_SENTINEL_URL: Final = re.compile(
    r"(?P<scheme>rediss?)\+sentinel://(?P<user>[^/?#]*@)?(?P<hosts>[^/@?#]+)"
    r"/(?P<name>[A-Za-z0-9_.-]+)(?:/(?P<db>[0-9]*))?(?P<query>\?[^#]*)?"
)
SENTINEL_FORM: Final = "redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB"


def is_sentinel(url: str) -> bool:
    """Whether the URL names Sentinels."""
    return url.partition("://")[0].lower().endswith("+sentinel")


def connection_options(url: str) -> dict[str, Any]:
    """redis-py's connection options for a URL: `redis://`, `rediss://`, `unix://`, and the first two with `+sentinel`.

    For Sentinels there are three more: `sentinels` (host and port of each), `service_name`, and `sentinel_options`,
    which are the options of connections to the Sentinels. Raises ValueError for any other URL.
    """
    if not is_sentinel(url):
        direct: dict[str, Any] = parse_url(url)
        return direct
    found = _SENTINEL_URL.fullmatch(url)
    if found is None:
        raise ValueError(f"must have the form {SENTINEL_FORM}")
    sentinels = [_host_and_port(host) for host in found["hosts"].split(",")]
    options: dict[str, Any] = parse_url(
        f"{found['scheme']}://{found['user'] or ''}sentinel/{found['db'] or 0}{found['query'] or ''}"
    )
    del options["host"]
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    return options | {
        "sentinels": sentinels,
        "service_name": unquote(found["name"]),
        "sentinel_options": {name: value for name, value in options.items() if name.startswith("ssl_")} | own,
    }


def _host_and_port(text: str) -> tuple[str, int]:
    address = urlsplit(f"//{text}")
    if not address.hostname:
        raise ValueError(f"must have the form {SENTINEL_FORM}")
    return address.hostname, address.port or SENTINEL_PORT
