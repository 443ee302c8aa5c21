"""The pages of `docs/reference/` that are generated in part: what stands between two marks comes from the code.

<!-- begin commands -->
<!-- end -->
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.reference.commands import commands
from deploy.reference.settings import settings

FOLDER: Final = Path(__file__).parents[2] / "docs/reference"
GENERATED: Final[Mapping[str, Callable[[], str]]] = {"commands": commands, "settings": settings}
"""What writes each part, by the name in its mark. The page has the same name."""
_BLOCK: Final = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Each page as it has to stand in `FOLDER`."""
    return {path: written(path.read_text()) for path in (FOLDER / f"{name}.md" for name in GENERATED)}


def written(page: str) -> str:
    """The page with its generated parts made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{GENERATED[block[2]]()}\n{block[3]}", page)
