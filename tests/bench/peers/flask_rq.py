"""Flask under gunicorn, with RQ.

Settings: gunicorn's threaded workers, since the sync workers close the connection after each request; three processes,
by its rule of twice the cores plus one; JSON instead of pickle for the jobs.
"""

import sys

from flask import Flask, request
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from tests.bench.work import REDIS_URL

TITLE = "Flask under gunicorn, with RQ"
PARTS = ("ingress",)
PINS: tuple[str, ...] = ()
QUEUE = "rq:queue:default"

app = Flask(__name__)
queue = Queue(connection=Redis.from_url(REDIS_URL), serializer=JSONSerializer)


def take() -> str:
    queue.enqueue("tests.bench.peers.rq.decide", request.get_data(as_text=True), result_ttl=0)
    return "ok\n"


app.post("/")(take)


def server(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "tests.bench.peers.flask_rq:app", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--workers", "3", "--threads", "24", "--log-level", "warning"),
    ]
