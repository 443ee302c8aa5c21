"""`faceid ingress`."""

from console.processes.startup import check_in_background, load_and_configure
from ingress.serve import serve


def ingress() -> None:
    """Receive callbacks over HTTP and store them in the queue.

    Listens on FACEID_LISTEN. Answers 2xx only when the callback is stored, and 503 while callbacks can't be stored.

    Example: [cyan]faceid ingress[/]
    """
    settings = load_and_configure("ingress")
    check_in_background(settings, "ingress")
    serve(settings)
