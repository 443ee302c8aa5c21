"""The peers: other task queues that are measured too. Each is one file in `peers/`.

Each file has TITLE, the peer's name in the tables; PARTS, the parts that measure it; and PINS, exact requirements that
conflict with others and so are installed in their own folder. For the parts `queue`, `whole` and `batches` (shown with
the queue's) it has WORKER, the command line of its worker process, and `send`, which puts callbacks into its queue. For
the part `ingress` it has `server(port)`, the command line of its server, and QUEUE, the Redis list that the server
fills. Its other requirements are in `requirements.txt`.

A file is read before it is imported, since its library may be in its own folder:
`python -m tests.bench.peer celery send < BODIES`, `... celery work`, `... fastapi_celery serve PORT`.
"""

import ast
import asyncio
import inspect
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Peer:
    """A peer as its file describes it."""

    name: str
    title: str
    parts: tuple[str, ...]
    pins: tuple[str, ...]
    queue: str

    def command(self, *words: str) -> list[str]:
        """The command line that runs this file for the peer."""
        return [sys.executable, "-m", "tests.bench.peer", self.name, *words]

    def environment(self) -> dict[str, str]:
        """The environment of its processes, with the path of its library."""
        apart = [str(folder_apart(self.name))] if self.pins else []
        return {**os.environ, "PYTHONPATH": os.pathsep.join([*apart, str(ROOT)])}


def peers(part: str = "") -> list[Peer]:
    """All peers, or those of one part, by name."""
    found = [_described(path) for path in sorted((HERE / "peers").glob("[a-z]*.py"))]
    return [peer for peer in found if part in {"", *peer.parts}]


def folder_apart(name: str) -> Path:
    """Where the pinned requirements of a peer are installed."""
    return Path(sys.prefix) / "apart" / name


def _described(path: Path) -> Peer:
    constants: dict[str, Any] = {}
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                if name in {"TITLE", "PARTS", "PINS", "QUEUE"}:
                    constants[name] = ast.literal_eval(value)
    return Peer(path.stem, constants["TITLE"], constants["PARTS"], constants["PINS"], constants.get("QUEUE", ""))


def main(name: str, verb: str, *words: str) -> None:
    """Send the bodies on stdin, one a line; or replace this process by the worker or the server."""
    module = import_module(f"tests.bench.peers.{name}")
    if verb == "send":
        sending = module.send(line.rstrip("\n") for line in sys.stdin)
        if inspect.iscoroutine(sending):
            asyncio.run(sending)
        return
    command = module.WORKER if verb == "work" else module.server(int(words[0]))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
