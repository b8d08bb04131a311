"""``python -m benchmarks.budgets [NAME…]``: the budgets, each with what it was, is and should be.

Without names, those that take a minute or two. A row that another command measures names it.
Seconds depend on the machine and on what else it does; ratios are made in one run, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

from benchmarks.figures import sequential_seamcalls
from benchmarks.power import DESIGNS
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design_file import class_in
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.verify.search import verify
from tdxfuzz.verify.worklist import Bounds

FIRST_EDITION = tuple(SCENARIOS)[: tuple(SCENARIOS).index("zap2m-fault") + 1]
"""The thirteen scenarios that there were then, map-zap to zap2m-fault."""

SMALL = tuple(name for name, scenario in SCENARIOS.items() if not scenario.world.areas)[:10]
"""Ten scenarios of 4KB pages."""

CASES = 5_000

TIMES = 3
"""Runs in turn of what is compared; the median counts."""

SHRUNK_SEEDS = 5

COMPARED = ("map-zap", "destroy-create", "split-map", "zap2m-fault")
"""Scenarios that are searched with tables and without."""

Measure = Callable[[], str]


@frozen
class Row:
    """A budget: what was measured before there were workers and tables, what must be reached, and
    what is the goal. ``measure`` gives today's figure; a text names the command that does.
    """

    name: str
    what: str
    before: str
    least: str
    goal: str
    measure: Measure | str
    is_quick: bool = True


def seconds_of(*arguments: str) -> tuple[float, dict[str, Any]]:
    """How long a command takes, and its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tdxfuzz", *arguments, "--format", "json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        document: dict[str, Any] = json.loads(done.stdout)
        return time.monotonic() - began, document


def scenarios(names: Sequence[str]) -> list[str]:
    """Options for :func:`seconds_of`."""
    return [part for name in names for part in ("--scenario", name)]


def verify_merged() -> str:
    """Wall time of the whole command, on all cores."""
    seconds, document = seconds_of("verify", "merged", *scenarios(FIRST_EDITION))
    return f"{seconds:.0f} s, {document['verdict']}"


def verify_hint() -> str:
    """Which scenarios are unknown after 90 s."""
    seconds, document = seconds_of("verify", "hint", "--time", "90s")
    unknown = [one["scenario"] for one in document["results"] if one["verdict"] == "unknown"]
    return f"{seconds:.0f} s, {len(unknown)} unknown {' '.join(unknown)}"


def three_cpus() -> str:
    """How many scenarios are unknown, each searched alone."""
    unknown = 0
    for name in SMALL:
        _, document = seconds_of(
            "verify", "merged", "--scenario", name, "--cpus", "3", "--full", "--time", "60s"
        )
        unknown += document["verdict"] == "unknown"
    return f"{unknown} unknown"


def tables() -> str:
    """CPU time without tables by that with them, scenario by scenario."""
    ratios = []
    for name in COMPARED:
        scenario, took = SCENARIOS[name], []
        for on in (False, True):
            began = time.process_time()
            verify(scenario.case("merged"), bounds=Bounds(2), tables=on)
            took.append(time.process_time() - began)
        ratios.append(f"{name} {took[0] / took[1]:.1f}")
    return ", ".join(ratios)


def hunt_rate() -> str:
    """Cases a second of CPU time."""
    began = time.process_time()
    hunt(HuntPlan("merged", Budget(cases=CASES)))
    return f"{CASES / (time.process_time() - began):,.0f}"


def two_workers() -> str:
    """Wall time of one worker by that of two."""
    one, two = (
        seconds_of(
            "hunt", "merged", "--cases", str(CASES), "--seed", "1", "--workers", str(workers)
        )[0]
        for workers in (1, 2)
    )
    return f"{one / two:.2f}"


def shrinking() -> str:
    """The 95th percentile of the CPU time of shrinking what hunts of the seeded bugs find."""
    seconds = []
    for design in DESIGNS:
        for number in range(1, SHRUNK_SEEDS + 1):
            found = hunt(HuntPlan(design, Budget(seconds=30), seed=number)).found
            if found is not None:
                began = time.process_time()
                shrink(found)
                seconds.append(time.process_time() - began)
    worst = sorted(seconds)
    return f"{worst[len(worst) * 95 // 100]:.1f} s, {worst[-1]:.1f} at most"


def layer_in_c() -> str:
    """CPU time of a hunt of a layer in C by that of its Python twin."""
    layer = class_in(Path("tests/host/c/layers/merged.c"))
    ratios = []
    for _ in range(TIMES):
        took = []
        for design in (None, layer):
            began = time.process_time()
            hunt(HuntPlan("merged", Budget(cases=CASES), design=design))
            took.append(time.process_time() - began)
        ratios.append(took[1] / took[0])
    return f"{median(ratios):.2f}"


def seamcalls() -> str:
    """SEAMCALLs a second, one after the other."""
    (rate,) = sequential_seamcalls().values()
    return f"{rate:,.0f}"


ROWS = (
    Row(
        "merged",
        "`verify merged`, 13 scenarios, wall",
        "160 s",
        "40 s",
        "10 s",
        verify_merged,
    ),
    Row("tables", "CPU time of runs by that of tables", "1", "-", "-", tables),
    Row(
        "hint",
        "`verify hint`: all decided",
        "2 unknown after 290 s",
        "all, 90 s",
        "20 s",
        verify_hint,
        is_quick=False,
    ),
    Row(
        "cpus",
        "ten 4KB scenarios at 3 CPUs, 60 s each",
        "5 unknown",
        "2",
        "0",
        three_cpus,
        is_quick=False,
    ),
    Row("spin", "against Spin, 14 rows", "0.23 - 2.67", "≤ 1.0", "≤ 0.3", "make spin"),
    Row("hunt", "hunt, cases/s a core", "420", "1,000", "5,000", hunt_rate),
    Row(
        "find",
        "must-find bugs, 20 seeds, one core",
        "worst 9 s",
        "20/20 in 10 s",
        "worst 3 s",
        "make power",
    ),
    Row("given", "`@given(cases(D))`, 20 seeds", "0/6", "19/20", "20/20", "make examples"),
    Row("atheris", "atheris, cases/s", "250 - 650", "1,000", "2,000", "make fuzz"),
    Row("calls", "sequential SEAMCALLs/s", "25,000", "30,000", "100,000", seamcalls),
    Row("shrink", "shrinking, 95th percentile", "20 s", "8 s", "3 s", shrinking, is_quick=False),
    Row("two", "two workers against one", "-", "1.8", "1.95", two_workers),
    Row("test", "`make test`, wall", "9.5 min", "3 min", "90 s", "time make test"),
    Row("c", "a layer in C by its Python twin, hunt", "-", "1.15", "1.05", layer_in_c),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(r.name for r in ROWS))
    names = parser.parse_args().names
    print("| budget | before | today | at least | goal |\n|---|---|---|---|---|")
    for row in ROWS:
        today = row.measure if isinstance(row.measure, str) else "-"
        is_due = row.name in names if names else row.is_quick
        if is_due and not isinstance(row.measure, str):
            today = row.measure()
        print(f"| {row.what} | {row.before} | {today} | {row.least} | {row.goal} |", flush=True)


if __name__ == "__main__":
    main()
