"""`faceid settings`: every setting with its value, source, default and meaning."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, SecretsSettingsSource
from rich.table import Table
from rich.text import Text

from console.terminal.options import Json
from console.terminal.output import out, plain, print_json, print_table
from console.unknown_settings import as_hint, unknown_settings
from shared.settings import ENV_PREFIX, Settings, load_settings, secrets_folder

HIDDEN: Final = "***"
_SECRET_WORDS: Final = ("pass", "secret", "token", "key")
"""A query parameter of a URL is hidden when its name contains one of these."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting. Secrets and passwords are hidden."""

    name: str
    """The environment variable."""
    value: Any
    source: str
    """environment, .env, secrets file or default."""
    default: Any
    meaning: str


def settings(json: Json = False) -> None:
    """Show every setting: its value, source, default and meaning.

    The value is the one in force; a URL that is not set has the value of the URL that it falls back to. The source is
    the environment, .env, secrets file or default. Of a secret, only whether it is set is shown; of a URL, no password.

    Example: [cyan]faceid settings[/]
    """
    rows = read_rows(load_settings(), find_sources())
    for name, found in unknown_settings().items():
        print(f"Warning: there is no setting {name}. {as_hint(found)}", file=sys.stderr)
    if json:
        for row in rows:
            print_json(asdict(row))
        return
    print_table(_table(rows))
    files = f"{Path('.env').absolute()}, files in {secrets_folder()}"
    out.print(plain(f"Sources, the first wins: environment, {files}, default.", "dim"), soft_wrap=True)


def read_rows(settings: Settings, sources: Mapping[str, str]) -> list[Row]:
    """A row for each setting. `sources`: by field name, for those that are set."""
    return [
        Row(
            name=f"{ENV_PREFIX}{name.upper()}",
            value=_shown(name, field, getattr(settings, name)),
            source=sources.get(name, "default"),
            default=_shown(name, field, field.default),
            meaning=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def find_sources() -> dict[str, str]:
    """The source of each setting that is set, by field name."""
    folder = secrets_folder()
    found = dict.fromkeys(SecretsSettingsSource(Settings, folder)() if folder.is_dir() else (), "secrets file")
    found |= dict.fromkeys(DotEnvSettingsSource(Settings)(), ".env")
    return found | dict.fromkeys(EnvSettingsSource(Settings)(), "environment")


def without_password(url: str) -> str:
    """A URL with its password hidden, and with secret query parameters hidden."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return HIDDEN if "@" in url else url
    user_info, at, rest = rest.rpartition("@")  # at the last @: more may be hidden, but never less
    user, colon, _ = user_info.partition(":")
    address, mark, query = rest.partition("?")
    shown = "&".join(map(_without_secret, query.split("&")))
    return f"{scheme}://{f'{user}:{HIDDEN}' if colon else HIDDEN if at else ''}{at}{address}{mark}{shown}"


def _without_secret(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={HIDDEN}" if equals and any(word in name.lower() for word in _SECRET_WORDS) else parameter


def _shown(name: str, field: FieldInfo, value: Any) -> Any:
    """A value as it may be printed."""
    if "SecretStr" in str(field.annotation):
        return "set" if any(secret.get_secret_value() for secret in _as_tuple(value)) else "not set"
    if name.endswith("_url"):
        return without_password(value)
    return str(value) if isinstance(value, Path) else value


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for name in ("value", "source", "default", "meaning"):
        table.add_column(name, overflow="fold")
    for row in rows:
        style = "" if row.source == "default" else "bold"
        table.add_row(plain(row.name, style), _text(row.value), row.source, _text(row.default), row.meaning)
    return table


def _text(value: Any) -> Text:
    """A value as it is written in `.env`; `-` when it is empty."""
    parts = [f"{part:.12g}" if isinstance(part, float) else str(part) for part in _as_tuple(value)]
    return plain("-" if value is None else ",".join(parts) or "-")
