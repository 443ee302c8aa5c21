"""What a process says at its start about its surroundings, without waiting for it."""

import threading
from typing import Literal

import structlog

from console.doctor.checks import diagnose
from console.doctor.environment import gather
from shared.settings import Settings

log = structlog.get_logger()
Role = Literal["ingress", "worker"]


def warn(settings: Settings, role: Role) -> None:
    """Log what `faceid doctor` would find amiss that concerns this process, from a thread of its own."""
    threading.Thread(target=_recheck, args=(settings, role), name="doctor", daemon=True).start()


def _recheck(settings: Settings, role: Role) -> None:
    works = role == "worker"  # which reads secrets and listens nowhere
    for finding in diagnose(gather(settings, accounts=works)):
        if finding.level != "ok" and not (works and finding.check == "port"):
            log.warning("startup.warned", check=finding.check, found=finding.found, hint=finding.hint)
