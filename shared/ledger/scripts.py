"""The Lua scripts of a case, with the functions that they share."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "lua"
SHARED_FUNCTIONS: Final = (FOLDER / "shared" / "texts.lua").read_text()
"""They stand before each script."""


def load_script(name: str) -> str:
    """The script `NAME.lua`, ready to be run alone."""
    return SHARED_FUNCTIONS + (FOLDER / f"{name}.lua").read_text()
