"""FastAPI with Celery's `.delay()`.

Settings: uvicorn with uvloop, httptools and no access log, one process for the core. The endpoint is a coroutine that
calls `.delay()` directly, so no thread of FastAPI's pool is needed.
"""

import sys

from fastapi import FastAPI, Request, Response

from tests.bench.peers.celery import task

TITLE = "FastAPI with Celery's .delay()"
PARTS = ("ingress",)
PINS: tuple[str, ...] = ()
QUEUE = "celery"

app = FastAPI()


async def take(request: Request) -> Response:
    task.delay((await request.body()).decode())
    return Response("ok\n")


app.post("/")(take)


def server(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", "tests.bench.peers.fastapi_celery:app", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
