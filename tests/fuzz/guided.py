"""`python -m tests.fuzz.guided`: fuzzes the verifier with atheris, guided by coverage, and counts the results.

The first byte of an input says what the rest is: a form, a multipart body, or a correctly signed text.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["workers", "python_multipart"]):
    from tests.fuzz.verifier import outcome
    from tests.support.hostile_bodies import MULTIPART, SECRET, Attacker, Genuine, Hostile, sign
    from tests.support.payloads import FORM

SEEDS = 2_000
WAYS = ("form", "multipart", "signed text")


class Target:
    """What atheris calls with each input, `runs` times."""

    def __init__(self, runs: int, corpus: Path, known: frozenset[bytes]) -> None:
        """`known`: the correctly signed texts of the seeds."""
        self._runs = runs
        self._corpus = corpus
        self._known = known
        self._counts = Counter[tuple[str, str]]()
        self._started = time.monotonic()

    def __call__(self, data: bytes) -> None:
        way, rest = (data[0] if data else 0) % len(WAYS), data[1:]
        self._counts[WAYS[way], outcome(self._hostile(way, rest))] += 1
        if self._counts.total() == self._runs:
            self._print_counts()
            shutil.rmtree(self._corpus)
            os._exit(0)  # atheris ends a process without running any code

    def _hostile(self, way: int, rest: bytes) -> Hostile:
        if way == 2:
            return Hostile(0, WAYS[way], FORM, Genuine(rest, sign(SECRET, rest)).body, frozenset({rest}))
        return Hostile(0, WAYS[way], (FORM, MULTIPART)[way], rest, self._known)

    def _print_counts(self) -> None:
        for (way, end), count in sorted(self._counts.items()):
            print(f"{way:<20}{end:<15}{count:>10,}")
        print(
            f"{self._counts.total():,} bodies by atheris in {time.monotonic() - self._started:.0f} s:"
            " 0 forgeries verified, 0 other exceptions",
            flush=True,
        )


def write_corpus(corpus: Path, seed: int) -> frozenset[bytes]:
    """Write the first inputs. Returns their correctly signed texts."""
    attacker, known = Attacker(seed), set[bytes]()
    for number in range(SEEDS):
        hostile = attacker.body(number)
        way = 2 if hostile.kind == "odd text, signed" else int(hostile.content_type.startswith("multipart"))
        rest = next(iter(hostile.signed)) if way == 2 else hostile.body
        (corpus / str(number)).write_bytes(bytes([way]) + rest)
        known |= hostile.signed
    return frozenset(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"{given.runs:,} bodies by atheris, seed {given.seed}", flush=True)
    corpus = Path(tempfile.mkdtemp(prefix="faceid-fuzz-"))
    target = Target(given.runs, corpus, write_corpus(corpus, given.seed))
    options = [f"-seed={given.seed % 2**32}", f"-artifact_prefix={corpus}/failed-", "-verbosity=0", "-max_len=16384"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
