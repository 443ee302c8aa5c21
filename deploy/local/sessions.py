"""The demo's sessions: scenarios, faults, and the outcome that each must have."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from deploy.simulator.model.faults import Faults, ResultFault

NO_FAULTS: Final = Faults()


@dataclass(frozen=True, slots=True)
class Session:
    """One verification: its scenario, its faults, and the outcome that it must have."""

    scenario: str
    outcome: str
    share: int
    """How many of 100 sessions are like this."""
    method: str = "POST"
    """How the browser returns (`action_http_method`)."""
    faults: Faults = NO_FAULTS
    returns: int = 1
    """How often the user loads the return page."""
    waits: bool = False
    """Whether its decision waits for a pause between reads or for a recheck."""


def _get_result(kind: str, times: int = 1) -> Faults:
    return Faults(get_result=(ResultFault.model_validate({"kind": kind, "times": times}),))


SESSIONS: Final = (
    Session("pass", "APPROVED", 34),
    Session("pass", "APPROVED", 8, method="GET"),
    Session("pass", "APPROVED", 6, faults=Faults(notify_copies=3), returns=2),
    Session("pass", "APPROVED", 3, faults=Faults(notify_late_seconds=0.5)),
    Session("pass", "APPROVED", 2, faults=Faults(lose_notify=True)),
    Session("pass", "APPROVED", 2, faults=Faults(lose_return=True)),
    Session("pass", "APPROVED", 2, method="GET", faults=Faults(lose_notify=True), waits=True),
    Session("pass", "APPROVED", 3, faults=Faults(forged="wrong-secret")),
    Session("pass", "APPROVED", 2, faults=Faults(forged="altered")),
    Session("pass", "APPROVED", 2, faults=Faults(multipart=True, raw_utf8=True)),
    Session("pass", "APPROVED", 3, faults=_get_result("busy")),
    Session("pass", "APPROVED", 3, faults=_get_result("internal-error"), waits=True),
    Session("processing-first", "APPROVED", 2),
    Session("liveness-fail", "REJECTED", 3),
    Session("synthetic-attack", "REJECTED", 3),
    Session("mask-attack", "REJECTED", 2),
    Session("screen-replay-attack", "REJECTED", 2),
    Session("face-below", "REJECTED", 2),
    Session("no-face", "REJECTED", 1),
    Session("face-between", "REVIEW", 3),
    Session("pass", "REVIEW", 1, faults=_get_result("data-destroyed")),
    Session("pass", "REVIEW", 1, faults=Faults(result="face-at-threshold")),
    Session("cancelled", "INCOMPLETE", 5),
    Session("timeout", "INCOMPLETE", 2),
    Session("webrtc-no-camera", "INCOMPLETE", 2),
    Session("internal-error", "UNDETERMINED", 1),
)
"""The shares add up to 100."""


def draw_sessions(count: int, random: Random) -> Iterator[Session]:
    """`count` sessions in the shares of `SESSIONS`, shuffled."""
    hundred = [session for session in SESSIONS for _ in range(session.share)]
    sessions = [hundred[number % len(hundred)] for number in range(count)]
    random.shuffle(sessions)
    yield from sessions
