"""``python -m benchmarks.fuzz``: how far the atheris targets get into the model.

Each target runs for a while from the seeds of ``corpus/``; then the inputs it kept are run once
more, here, and what they reach is counted: lines of ``tdxfuzz/module``, and pairs of a leaf and
a status it answered, out of those that its code can give. Needs the extra ``[atheris]``, and
``coverage``.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from coverage import Coverage

import tdxfuzz.module
from tdxfuzz.abi import BY_NUMBER, status
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.fuzzers.properties import check_reproducer, check_words
from tdxfuzz.fuzzers.seeds import write_seeds
from tdxfuzz.generate.codec import decode
from tdxfuzz.run.session import SetupError, run
from tools.statuses import producible

MODULE = Path(tdxfuzz.module.__file__).parent
FUZZERS = MODULE.parent / "fuzzers"
CORPUS = MODULE.parent.parent / "corpus"
TARGETS = ("hostile", "host_ops", "status_words", "reproducers")

CRASHED = 77
"""How libFuzzer ends when an input raised."""

Pairs = set[tuple[str, str]]


def main() -> None:
    """Fuzz, count, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--design", default="merged", help="of host_ops")
    arguments = parser.parse_args()
    print("| target | executions | a second | inputs kept | lines of the model | leaf x status |")
    print("|---|---:|---:|---:|---:|---:|")
    for target in arguments.targets or TARGETS:
        print(_row(target, arguments.seconds, arguments.design), flush=True)


def _row(target: str, seconds: int, design: str) -> str:
    with TemporaryDirectory() as folder:
        seeds = Path(folder)
        write_seeds(seeds, CORPUS)
        runs = _fuzz(target, seeds, seconds, design)
        inputs = [path.read_bytes() for path in sorted((seeds / target).iterdir())]
    pairs: Pairs = set()
    lines, of = _covered(lambda: _rerun(target, inputs, design, pairs))
    every = {(leaf, name) for leaf, names in producible().items() for name in names}
    return (
        f"| {target} | {runs:,} | {runs / seconds:,.0f} | {len(inputs):,} "
        f"| {lines:,} of {of:,} | {len(pairs & every)} of {len(every)} |"
    )


def _fuzz(target: str, seeds: Path, seconds: int, design: str) -> int:
    """Run a target; how many inputs it ran."""
    options = [f"-max_total_time={seconds}", "-seed=1", "-print_final_stats=1"]
    dictionary = seeds / f"{target}.dict"
    if dictionary.exists():
        options.append(f"-dict={dictionary}")
    done = subprocess.run(
        [sys.executable, str(FUZZERS / f"{target}.py"), *options, target],
        cwd=seeds,
        env=os.environ | {"TDXFUZZ_DESIGN": design},
        capture_output=True,
        text=True,
        check=False,
    )
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode == CRASHED and runs is not None:
        print(f"{target} stopped early:\n{done.stdout[-2000:]}", file=sys.stderr)
        for crash in seeds.glob("crash-*"):
            print(f"kept as {shutil.copy(crash, '.')}", file=sys.stderr)
    elif done.returncode or runs is None:
        sys.exit(f"{target} ended with {done.returncode}:\n{done.stdout}{done.stderr[-3000:]}")
    return int(runs[1])


def _rerun(target: str, inputs: list[bytes], design: str, pairs: Pairs) -> None:
    """Run inputs, and note which leaf answered what."""
    for data in inputs:
        if target == "status_words":
            check_words(data)
        elif target == "reproducers":
            check_reproducer(data)
        else:
            try:
                calls = run(decode(data, HOSTILE if target == "hostile" else design)).calls
            except SetupError:
                continue
            pairs |= {(BY_NUMBER[leaf].name, status(code << 32).name) for leaf, code in calls}


def _covered(body: Callable[[], None]) -> tuple[int, int]:
    """Lines in the functions of the model that are executed, and that there are."""
    measure = Coverage(data_file=None, include=[f"{MODULE}/*"], messages=False)
    measure.start()
    body()
    measure.stop()
    executed = total = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no data: a target that does not reach the model
        for path in sorted(MODULE.rglob("*.py")):
            _, statements, _, missing, _ = measure.analysis2(str(path))
            inside = _in_functions(path) & set(statements)
            total += len(inside)
            executed += len(inside - set(missing))
    return executed, total


def _in_functions(path: Path) -> set[int]:
    """The lines below the heads of functions: the others are executed by importing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found.update(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
    return found


if __name__ == "__main__":
    main()
