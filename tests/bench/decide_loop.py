"""Decide callbacks in a loop and do nothing else, for tools that count instructions.

    valgrind --tool=callgrind python -m tests.bench.decide_loop 100
    valgrind --tool=callgrind python -m tests.bench.decide_loop 400

The difference is the cost of 300 callbacks, without the start of the process. It is the same on every machine.
"""

import sys
from itertools import cycle, islice
from typing import Final

from tests.bench.callbacks import bodies
from tests.bench.work import decide_callback

CASES: Final = 50
WARM: Final = 20


def main(count: int) -> None:
    for body in islice(cycle(list(bodies(CASES))), WARM + count):
        decide_callback(body)


if __name__ == "__main__":
    main(int(sys.argv[1]))
