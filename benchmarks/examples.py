"""``python -m benchmarks.examples``: does a Hypothesis test of five lines find each seeded bug?

For every broken design and seed the test of the README under the profile ``ci``, but with another
seed each time; then a sound design. Seconds are of the CPU, and those of a failing test include
the shrinker. Lines are those of the failure's text: pytest adds about 25.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from statistics import median
from tempfile import TemporaryDirectory

from attrs import frozen
from hypothesis import given, seed, settings

from benchmarks.power import DESIGNS
from tdxfuzz.assertions import Broken, BrokenAtOnce, assert_clean
from tdxfuzz.case.case import Case
from tdxfuzz.strategies import cases
from tdxfuzz.testing import assertions
from tdxfuzz.testing.profiles import register_profiles

SEEDS = 20
SOUND = "merged"


@frozen
class Result:
    """One test: how many examples it ran, and what a failure said, if it failed."""

    examples: int
    seconds: float
    text: str


def run_test(design: str, number: int) -> Result:
    """The test of the README, with a seed."""
    examples = 0

    @seed(number)
    @settings(settings.get_profile("ci"), derandomize=False)
    @given(cases(design))
    def test(case: Case) -> None:
        nonlocal examples
        examples += 1
        assert_clean(case)

    assertions.forget()
    began = time.process_time()
    text = ""
    try:
        test()
    except (Broken, BrokenAtOnce) as error:
        text = str(error)
    return Result(examples, time.process_time() - began, text)


def row(design: str, results: Sequence[Result]) -> str:
    """A row of the table."""
    failed = [result for result in results if result.text]
    seconds = [result.seconds for result in failed or results]
    examples = [result.examples for result in failed or results]
    lines = max([len(result.text.splitlines()) for result in failed], default=0)
    return (
        f"| {design} | {len(failed)}/{len(results)} | {median(examples):.0f} / {max(examples)} "
        f"| {median(seconds):.1f} / {max(seconds):.1f} | {lines} |"
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples", description=__doc__)
    parser.add_argument("--designs", nargs="*", default=(*DESIGNS, SOUND))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    register_profiles()
    settings.load_profile("ci")
    print("| design | failed | examples, median / worst | seconds, median / worst | lines |")
    print("|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        os.environ[assertions.OUT] = folder
        for design in arguments.designs:
            seeds = range(1, arguments.seeds + 1)
            print(row(design, [run_test(design, number) for number in seeds]), flush=True)


if __name__ == "__main__":
    main()
