"""The settings as a table: name, default, what is allowed, meaning."""

from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings import ENV_PREFIX, Settings

_SIGNS: Final = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def settings() -> str:
    """A row for every setting, in the order of the code."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| setting | default | allowed | meaning |", "|---|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("\n", " ").replace("|", "\\|")
    return f"| `{ENV_PREFIX}{name.upper()}` | {_default(field.default)} | {_allowed(field)} | {meaning} |"


def _default(value: Any) -> str:
    match value:
        case SecretStr() | None | "" | ():
            return "-"
        case tuple():
            return f"`{','.join(f'{part:g}' for part in value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """The choices, or the limits of a number; nothing where any text will do."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    limits = [
        f"{sign} {getattr(limit, attribute):,}"
        for limit in field.metadata
        for kind, (sign, attribute) in _SIGNS.items()
        if isinstance(limit, kind)
    ]
    return ", ".join(limits)
