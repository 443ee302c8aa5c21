"""The ingress as a process."""

import time

import uvicorn

from ingress.app import Ingress
from ingress.store import Store
from shared import gc_tuning
from shared.brokers.factory import open_async_publisher
from shared.messaging.topology import INNER_QUEUES
from shared.settings import Settings, account_names


def build(settings: Settings) -> Ingress:
    """The application of these settings; nothing connects yet."""
    publisher = open_async_publisher(
        settings.broker_url, settings.store_timeout_seconds, prefix=settings.prefix, queues=INNER_QUEUES
    )
    store = Store(
        publisher,
        settings.prefix,
        settings.max_backlog,
        settings.max_memory_share,
        settings.store_timeout_seconds,
    )
    return Ingress(
        store, account_names(settings), settings.return_redirect_url, settings.max_body_bytes, clock=time.time
    )


def serve(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT; what has arrived by then is answered."""
    application = build(settings)
    gc_tuning.spare()
    uvicorn.run(
        application,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who calls is not looked at
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )
