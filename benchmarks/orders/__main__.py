"""``python -m benchmarks.orders``: many programs at random, searched in both ways."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.orders.compare import answer_of_verify, design_of
from benchmarks.orders.plain_search import TooManyError, search_plainly
from benchmarks.orders.programs import BASES, draw_program
from tdxfuzz.sim import HarnessError


def main() -> None:
    """Compare, and print each difference with its program; exit 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--states", type=int, default=2500, help="pass over larger programs")
    arguments = parser.parse_args()
    rng = Random(arguments.seed)
    counts: Counter[str] = Counter()
    seconds = [0.0, 0.0]
    with TemporaryDirectory() as folder:
        while counts["compared"] < arguments.programs:
            base = BASES[counts["drawn"] % len(BASES)]
            cpus = 3 if counts["drawn"] % 4 == 3 else 2
            program = draw_program(rng, base, cpus)
            design = design_of(program, Path(folder), f"looping_{counts['drawn']}")
            counts["drawn"] += 1
            try:
                began = time.process_time()
                plainly = search_plainly(program.case, design, most=arguments.states)
                seconds[0] += time.process_time() - began
            except TooManyError:
                counts["too large"] += 1
                continue
            began = time.process_time()
            try:
                ours = answer_of_verify(program.case, design)
            except HarnessError as error:
                counts["raised"] += 1
                print(f"verify raised {error!r}\n{program.text}")
                continue
            seconds[1] += time.process_time() - began
            counts["compared"] += 1
            counts[f"{cpus} CPUs"] += 1
            counts["with findings"] += bool(plainly.buckets)
            for kind in plainly.loops:
                counts[f"with a {kind.value}"] += 1
            if ours != plainly:
                counts["different"] += 1
                print(f"without reductions: {plainly}\nverify: {ours}\n{program.text}")
            if counts["compared"] % 20 == 0:
                print(dict(counts), [round(s) for s in seconds], file=sys.stderr)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    print(f"CPU time: {seconds[0]:.0f} s without reductions, {seconds[1]:.0f} s in verify")
    sys.exit(1 if counts["different"] or counts["raised"] else 0)


if __name__ == "__main__":
    main()
