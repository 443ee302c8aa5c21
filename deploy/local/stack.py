"""Run the whole pipeline on this machine as real processes, for the demo and the end-to-end tests."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self

from deploy.local.ports import free_port, is_listening
from deploy.local.program import Program
from deploy.local.redis_server import RedisServer

DEMO_KEY: Final = "test_api_key_0001"
DEMO_SECRET: Final = "test_api_secret_0001"  # noqa: S105 - made up; the simulator's default
FACEID: Final = (sys.executable, "-m", "console.main")
"""The `faceid` command."""


class Stack:
    """Redis, the FaceID simulator, the ingress and workers.

    A Redis server is started unless `redis_url` is given. The queues are on that Redis unless `broker_url` is given.
    The results are where the queues are unless `results_url` is given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        redis_url: str = "",
        broker_url: str = "",
        results_url: str = "",
        ingress_port: int = 0,
        worker_stages: Sequence[Sequence[str]] = ((), ()),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            folder: For logs and the data of Redis.
            ingress_port: 0 takes a free port.
            worker_stages: The arguments of `faceid worker` for each worker process: its stages. None: all stages.
            settings: Further environment variables `FACEID_...`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.redis = None if redis_url else RedisServer(folder / "redis")
        self.redis_url = redis_url or (self.redis.url if self.redis else "")
        self.broker_url = broker_url or self.redis_url
        self.results_url = results_url or self.broker_url
        self.ingress_url = f"http://127.0.0.1:{(ingress_port := ingress_port or free_port())}"
        self.admin_url = f"http://127.0.0.1:{(admin_port := free_port())}"
        """Probes and metrics of the ingress."""
        self.simulator_url = f"http://127.0.0.1:{(simulator_port := free_port())}"
        self.env = clean_environment() | self._settings(ingress_port, simulator_port) | dict(settings or {})
        self.simulator = self._program("simulator", "simulator")
        self.ingress = self._program("ingress", "ingress", admin_port=admin_port)
        self.workers = [
            self._program(f"worker-{number}", "worker", *stages) for number, stages in enumerate(worker_stages, 1)
        ]

    def _settings(self, ingress_port: int, simulator_port: int) -> dict[str, str]:
        urls = {
            "FACEID_REDIS_URL": self.redis_url,
            "FACEID_BROKER_URL": self.broker_url,
            "FACEID_RESULTS_URL": self.results_url,
        }
        return urls | {
            "FACEID_LISTEN": f"127.0.0.1:{ingress_port}",
            "FACEID_API_KEY": DEMO_KEY,
            "FACEID_API_SECRETS": DEMO_SECRET,
            "FACEID_BASE_URL": f"{self.simulator_url}/faceid/lite",
            "FACEID_SIMULATOR_LISTEN": f"127.0.0.1:{simulator_port}",
            "FACEID_SIMULATOR_ANY_PORT": "true",
        }

    @property
    def notify_url(self) -> str:
        """The URL that FaceID posts notify callbacks to."""
        return f"{self.ingress_url}/callbacks/default/notify"

    @property
    def return_url(self) -> str:
        """The URL that the user's browser returns to."""
        return f"{self.ingress_url}/callbacks/default/return"

    @property
    def programs(self) -> list[Program]:
        """Every process except Redis, in the order of starting."""
        return [self.simulator, self.ingress, *self.workers]

    def start(self) -> None:
        """Start all processes. Returns when they are ready. Raises RuntimeError when one does not start."""
        if self.redis is not None:
            self.redis.start()
        for program in self.programs:
            program.start()
        for program, setting in ((self.simulator, "FACEID_SIMULATOR_LISTEN"), (self.ingress, "FACEID_LISTEN")):
            port = int(self.env[setting].rpartition(":")[2])
            program.wait(partial(is_listening, "127.0.0.1", port))
        for worker in self.workers:
            worker.wait(partial(worker.logged, "worker.started"))

    def stop(self) -> None:
        """Stop all processes: workers, then ingress, then simulator, then Redis."""
        for program in reversed(self.programs):
            program.stop()
        if self.redis is not None:
            self.redis.stop()

    @contextmanager
    def running(self, *, keep: bool = False) -> Iterator[Self]:
        """Start, and stop at the end of the block. `keep`: leave it running, unless the block raised an exception."""
        try:
            self.start()
            yield self
        except BaseException:
            self.stop()
            raise
        if not keep:
            self.stop()

    def _program(self, name: str, *arguments: str, admin_port: int = 0) -> Program:
        admin = {"FACEID_ADMIN_LISTEN": f"127.0.0.1:{admin_port or free_port()}"}
        return Program(name, (*FACEID, *arguments), admin | self.env, self.folder)


def clean_environment() -> dict[str, str]:
    """The environment of this process without its `FACEID_...` settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FACEID_")}
