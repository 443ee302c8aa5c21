"""Put the numbers of a run into the docs: `python -m tests.bench.report`, after `make bench`.

Copies the numbers and the plots to docs/explanation/, and writes every table of docs/explanation/performance.md. The
text between the tables is written by hand.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.bench import aims
from tests.bench.numbers import FILE, OUT, load
from tests.support.paths import DOCS

FOLDER: Final = DOCS / "explanation"
PAGE: Final = FOLDER / "performance.md"
QUIET: Final = 0.1
"""The largest share of the machine that other processes may use."""
NOTHING: Final = "Not measured yet.\n"
PLOTTED: Final = {
    "ingress": "requests a second",
    "queue": "callbacks a second",
    "whole": "callbacks a second",
    "latency": "how many were decided within which time",
}
_BLOCK: Final = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(source: Path) -> None:
    """Copy the numbers into the docs."""
    for file in (source / FILE, *source.glob("*.png")):
        shutil.copy(file, FOLDER)
    PAGE.write_text(written(PAGE.read_text(), load(FOLDER)))


def written(page: str, everything: Mapping[str, Any]) -> str:
    """The page with its tables made from these numbers."""
    return _BLOCK.sub(lambda block: f"{block[1]}{_block(block[2], everything)}{block[3]}", page)


def _block(name: str, everything: Mapping[str, Any]) -> str:
    if name == "aims":
        return _aims(everything)
    if name == "machine":
        return _machine(everything)
    if name not in everything["parts"]:
        return NOTHING
    numbers = everything["parts"][name]
    table = str(import_module(f"tests.bench.parts.{name}").table(numbers["rows"]).markdown())
    plot = f"\n![{PLOTTED[name]}](performance-{name}.png)\n" if name in PLOTTED else ""
    return _caveat(numbers) + table + plot


def _aims(everything: Mapping[str, Any]) -> str:
    """The aims, with the reasons why their numbers may be unreliable."""
    lines = aims.table(everything)
    parts = [numbers for name, numbers in everything["parts"].items() if name in {aim.part for aim in aims.AIMS}]
    caveats = dict.fromkeys(map(_caveat, parts))
    return "".join(caveats) + (lines.markdown() if lines.lines else NOTHING)


def _caveat(numbers: Mapping[str, Any]) -> str:
    """Why the numbers may be unreliable. Empty: they are reliable."""
    faults = []
    if numbers["quick"]:
        faults.append("small sizes")
    if numbers["busy_before"] > QUIET:
        faults.append("the machine had other work")
    if not numbers["machine"]["pinned"]:
        faults.append("nothing was pinned to a core")
    return f"**Not to be relied on**: {'; '.join(faults)}.\n\n" if faults else ""


def _machine(everything: Mapping[str, Any]) -> str:
    """The machine of the latest part, and the rounds and commit of each part."""
    if not everything["parts"]:
        return NOTHING
    parts = everything["parts"].items()
    on = max((numbers["machine"] for _, numbers in parts), key=lambda machine: str(machine["at"]))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(on["versions"].items()))
    measured = ", ".join(f"{name} {each['rounds']} at {each['machine']['commit']}" for name, each in sorted(parts))
    return (
        f"{on['at'][:10]}. {on['cpu']}, {on['cores']} cores, {on['kernel']}, Python {on['python']}, {on['redis']}; "
        f"{versions}.\n\nMedians over rounds, so many at a commit: {measured}.\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
