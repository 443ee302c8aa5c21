"""Start a process of the pipeline: settings, logs and start-up checks."""

import threading
from typing import Literal

import structlog

from console.doctor.checks import diagnose
from console.doctor.environment import gather
from console.unknown_settings import as_hint, unknown_settings
from shared.logs import configure
from shared.settings import Settings, load_settings

log = structlog.get_logger()
Service = Literal["ingress", "worker"]


def load_and_configure(service: Service, name: str = "") -> Settings:
    """Load the settings and set up logging. `name`: of this process in its log lines. Raises `SettingsError`."""
    settings = load_settings()
    configure(service, settings.log_level, name=name)
    for unknown, found in unknown_settings().items():
        log.warning("settings.unknown", setting=unknown, hint=as_hint(found))
    return settings


def check_in_background(settings: Settings, service: Service) -> None:
    """Run the checks of `faceid doctor` in a thread, and log those that concern this process and don't pass.

    The process doesn't wait for them.
    """
    threading.Thread(target=_check, args=(settings, service), name="doctor", daemon=True).start()


def _check(settings: Settings, service: Service) -> None:
    is_worker = service == "worker"  # a worker needs the secrets and has no public port, the ingress the reverse
    for finding in diagnose(gather(settings, accounts=is_worker)):
        if finding.level != "ok" and finding.check != "settings" and not (is_worker and finding.check == "port"):
            log.warning("startup.warned", check=finding.check, found=finding.found, hint=finding.hint)
