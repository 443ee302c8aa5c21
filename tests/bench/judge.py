"""Judges so many callbacks and does nothing else, for tools that count what that takes.

    valgrind --tool=callgrind python -m tests.bench.judge 100
    valgrind --tool=callgrind python -m tests.bench.judge 400

The difference is that of 300 callbacks, without the start; it is the same on every machine.
"""

import sys
from itertools import cycle, islice
from typing import Final

from tests.bench.callbacks import bodies
from tests.bench.work import judged

CASES: Final = 50
WARM: Final = 20


def main(count: int) -> None:
    for body in islice(cycle(list(bodies(CASES))), WARM + count):
        judged(body)


if __name__ == "__main__":
    main(int(sys.argv[1]))
