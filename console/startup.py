"""What a process says at its start about its surroundings, without waiting for it."""

import threading

import structlog

from console.checks import diagnose
from console.facts import gather
from shared.settings import Settings

log = structlog.get_logger()


def warn(settings: Settings, *, accounts: bool) -> None:
    """Log what `faceid doctor` would find amiss, from a thread of its own; `accounts`: whether to look at them too."""
    threading.Thread(target=_look, args=(settings,), kwargs={"accounts": accounts}, name="doctor", daemon=True).start()


def _look(settings: Settings, *, accounts: bool) -> None:
    for finding in diagnose(gather(settings, accounts=accounts)):
        if finding.level != "ok":
            log.warning("doctor", check=finding.check, found=finding.found, todo=finding.todo)
