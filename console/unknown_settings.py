"""Names that look like settings and are none: mostly spelling mistakes, which would otherwise be ignored unseen."""

from difflib import get_close_matches
from typing import Final

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from shared.settings import ENV_PREFIX, Settings, secrets_folder

SIMULATOR: Final = f"{ENV_PREFIX}SIMULATOR_"
"""The simulator reads these, and checks them itself."""
KNOWN: Final = (*(f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields), f"{ENV_PREFIX}SECRETS_DIR")


def unknown_settings() -> dict[str, str]:
    """Every unknown name `FACEID_...` in the environment, in `.env` and among the secret files.

    With the nearest setting, which is empty when none is near.
    """
    folder = secrets_folder()
    files = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    sources = (EnvSettingsSource(Settings).env_vars, DotEnvSettingsSource(Settings).env_vars, files)
    given = {name.upper() for source in sources for name in source}
    ours = {name for name in given if name.startswith(ENV_PREFIX) and not name.startswith(SIMULATOR)}
    return {name: nearest(name) for name in sorted(ours - set(KNOWN))}


def nearest(name: str) -> str:
    """The setting whose name is nearest; empty when none is near."""
    return next(iter(get_close_matches(name, KNOWN, n=1, cutoff=0.75)), "")


def as_hint(found: str) -> str:
    """What to do about an unknown name. `found`: the nearest setting, or nothing."""
    return f"Did you mean {found}?" if found else "faceid settings lists all settings."
