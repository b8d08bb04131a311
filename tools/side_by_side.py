"""``python -m tools.side_by_side``: the compiled package does what the other does, step by step.

Cases of every design and of a hostile host, drawn at random, run in both, and so do some searches
in full. Traces are compared by their hashes, searches by their counts. Exit 1 at the first that
differs, with its number: ``--only N`` shows the trace of that case, and of the other side with

    cd build/compiled && PYTHONPATH=../.. python -m tools.side_by_side --only N
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from random import Random

import tdxfuzz.module.lock
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.huge_programs import draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.run.session import run
from tdxfuzz.sim import Schedule
from tdxfuzz.verify.search import verify
from tools.compiled import FOLDER, ROOT

SEED = 20
CASES = 40
"""Of each design, and of a hostile host."""

SEARCHES = ("map-zap", "zap-zap", "convert-map")


def cases(each: int) -> Iterator[Case]:
    """Cases of all designs in turn, every other one with 2MB pages, each with four switches."""
    rng = Random(SEED)
    source = RandomChoices(rng)
    for turn in range(each):
        for design in (*DESIGNS, HOSTILE):
            cpus = rng.choice((2, 2, 3))
            if design == HOSTILE:
                case = draw_hostile(source, cpus)
            elif turn % 2:
                case = draw_huge_case(source, design, cpus=cpus)
            else:
                case = draw_case(source, design, cpus)
            switches = [(rng.randrange(400), rng.randrange(cpus)) for _ in range(4)]
            yield case.with_schedule(Schedule.of(switches))


def lines(each: int) -> Iterator[str]:
    """What is compared: how each case runs, how each search ends."""
    for number, case in enumerate(cases(each)):
        ran = run(case, traced=True)
        assert ran.trace is not None
        found = ran.finding.bucket if ran.finding else "-"
        yield f"case {number} {case.design} {ran.outcome.steps} {found} {ran.trace.hash()}"
    for name in SEARCHES:
        for design in DESIGNS:
            done = verify(SCENARIOS[name].case(design)).counts
            counts = f"{done.states} {done.transitions} {done.schedules} {done.depth}"
            yield f"search {name} {design} {counts} {len(done.finals)}"


def lines_of(folder: Path, each: int) -> Iterator[str]:
    """The same lines, made by the package in a folder; the first says which modules they are of.

    Raises:
        SystemExit: they cannot be made there.
    """
    command = [sys.executable, "-m", "tools.side_by_side", "--lines", "--cases", str(each)]
    path = os.pathsep.join(map(str, (folder, ROOT)))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield from process.stdout
        except GeneratorExit:
            process.terminate()
            raise
    if process.returncode:
        sys.exit(f"{folder}: ended with {process.returncode}")


def compare(folder: Path, each: int) -> None:
    """Hold both against each other.

    Raises:
        SystemExit: they differ, or the one in ``folder`` is not compiled.
    """
    here, there = lines_of(ROOT, each), lines_of(folder, each)
    used = next(there).strip()
    if not used.endswith((".so", ".pyd")) or next(here).strip() == used:
        sys.exit(f"{folder}: nothing is compiled there ({used}); run python -m tools.compiled")
    count = steps = 0
    for left, right in zip_longest(here, there, fillvalue=""):
        if left != right:
            sys.exit(f"they differ:\n  interpreted {left}  compiled    {right}")
        count += 1
        steps += int(left.split()[3]) if left.startswith("case") else 0
    print(f"{count} cases and searches, {steps:,} steps in the cases: the same in both")


def main() -> None:
    """Compare, or be one side of it."""
    parser = argparse.ArgumentParser(prog="python -m tools.side_by_side", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--cases", type=int, default=CASES, help="of each design")
    parser.add_argument("--lines", action="store_true", help="print what is compared, of one side")
    parser.add_argument("--only", type=int, metavar="N", help="print the trace of one case")
    arguments = parser.parse_args()
    if arguments.lines:
        print(tdxfuzz.module.lock.__file__)
        for line in lines(arguments.cases):
            print(line, flush=True)
    elif arguments.only is not None:
        case = next(c for i, c in enumerate(cases(arguments.cases)) if i == arguments.only)
        for record in run(case, traced=True).trace or ():
            print(record)
    else:
        compare(arguments.folder, arguments.cases)


if __name__ == "__main__":
    main()
