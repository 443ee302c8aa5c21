"""Which server answers at a URL: two URLs may be spelt differently and name the same one."""

from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import NoPermissionError

from shared.redis_servers.clients import open_client

TIMEOUT: Final = 2.0
"""Seconds for a connection, and for a reply."""


class UnsuitableServer(Exception):
    """The pipeline can't use this server. The message says why and what to do; it holds no URL."""


@dataclass(frozen=True, slots=True)
class ServerId:
    """One database of one running server."""

    run_id: str
    database: int


def identify(url: str) -> ServerId | None:
    """The server at a Redis URL. None when its user may not run INFO.

    Raises:
        redis.RedisError: The server can't be reached.
        UnsuitableServer: It is a node of a Redis Cluster, or a Sentinel.
    """
    with open_client(url, TIMEOUT, TIMEOUT) as redis:
        try:
            server: dict[str, Any] = redis.info("server")
            cluster: dict[str, Any] = redis.info("cluster")
        except NoPermissionError:
            return None
        database = int(redis.connection_pool.connection_kwargs.get("db") or 0)
    mode = str(server.get("redis_mode") or server.get("server_mode"))  # Valkey renamed it
    if fault := unsuitable(mode, bool(cluster.get("cluster_enabled"))):
        raise UnsuitableServer(fault)
    return ServerId(str(server["run_id"]), database)


def unsuitable(mode: str, cluster_enabled: bool) -> str:
    """Why the pipeline can't use a server of this mode (INFO server, INFO cluster), and what to do. Empty: it can."""
    if mode == "sentinel":
        return "is a Sentinel, not a Redis: write redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB"
    if mode == "cluster" or cluster_enabled:
        return "is a Redis Cluster (cluster_enabled:1), which can't be used: name a Redis with replicas and Sentinels"
    return ""
