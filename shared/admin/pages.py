"""The pages of the admin listener."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a GET."""

    status: int
    body: bytes
    content_type: str = TEXT

    @classmethod
    def text(cls, status: int, line: str) -> "Page":
        """A page of one line."""
        return cls(status, f"{line}\n".encode())


Routes = Mapping[str, Callable[[], Page]]
"""What makes the page of each path. It runs on a thread of the listener, so it must not wait for the asyncio loop."""


def routes(alive: Callable[[], str], ready: Callable[[], str]) -> Routes:
    """The routes of a process. `alive` and `ready` return why it is not, or an empty text when it is."""
    return {
        "/livez": lambda: _probe("alive", alive()),
        "/readyz": lambda: _probe("ready", ready()),
        "/metrics": lambda: Page(200, generate_latest(), CONTENT_TYPE_LATEST),
    }


def _probe(state: str, fault: str) -> Page:
    return Page.text(503, f"not {state}: {fault}") if fault else Page.text(200, state)
