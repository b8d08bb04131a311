"""``python -m benchmarks.spin``: verify and Spin on the same scenarios, whole processes.

Spin's side is ``spin -a``, the C compiler and the verifier it made; ours is one ``tdxfuzz
verify``, with the shrinking of what it finds. Both run next to each other, several times;
medians are printed. The verdicts must agree. Needs Debian's packages ``spin`` and ``gcc``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from attrs import frozen

from benchmarks.spin.start import macros
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus

HERE = Path(__file__).parent
DESIGNS = ("hint", "v6")
TWO_CPUS = ("map-zap", "map-map", "zap-zap", "zap-remap", "convert-map")
THREE_CPUS = ("map-zap", "zap-zap")
DEPTH = 10_000_000
HEADER = """\
| design, scenario | CPUs | verdict | Spin: states | s | ours: states | s | ours / Spin |
|---|---:|---|---:|---:|---:|---:|---:|"""
COMPILERS = ("-O0", "-O2")
"""Not to optimise is quicker in all for small models, to optimise for large ones: the better
of the two counts."""

_PROBLEMS = ("max search depth too small", "invalid array index", "out of memory")


@frozen
class Row:
    """One search by one tool: its verdict, the states it stored, and its seconds in all."""

    verdict: str
    states: int
    seconds: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spin", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, choices=(2, 3), help="only scenarios at so many CPUs")
    arguments = parser.parse_args()
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install spin gcc")
    print(HEADER)
    for cpus, names in ((2, TWO_CPUS), (3, THREE_CPUS)):
        if arguments.cpus in (None, cpus):
            for design in DESIGNS:
                for name in names:
                    print(_compared(design, name, cpus, arguments.rounds), flush=True)


def _compared(design: str, scenario: str, cpus: int, rounds: int) -> str:
    pairs = [(_spin(design, scenario, cpus), _ours(design, scenario, cpus)) for _ in range(rounds)]
    spin, ours = pairs[0]
    if spin.verdict != ours.verdict:
        sys.exit(f"{design} {scenario} at {cpus} CPUs: Spin says {spin.verdict}, we {ours.verdict}")
    theirs = median(pair[0].seconds for pair in pairs)
    own = median(pair[1].seconds for pair in pairs)
    ratio = median(pair[1].seconds / pair[0].seconds for pair in pairs)
    return (
        f"| {design}, {scenario} | {cpus} | {ours.verdict} | {spin.states:,} | {theirs:.1f} "
        f"| {ours.states:,} | {own:.1f} | {ratio:.2f} |"
    )


def _ours(design: str, scenario: str, cpus: int) -> Row:
    with TemporaryDirectory() as folder:
        tdxfuzz = str(Path(sys.executable).with_name("tdxfuzz"))
        command = [tdxfuzz, "verify", design, "--scenario", scenario]
        command += ["--cpus", str(cpus), "--full", "--out", folder, "--format", "json"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    (report,) = json.loads(done.stdout)["results"]
    return Row(report["verdict"], report["states"], seconds)


def _spin(design: str, scenario: str, cpus: int) -> Row:
    """The better of Spin's times with and without an optimising compiler."""
    return min(
        (spin_with(flag, design, scenario, cpus) for flag in COMPILERS),
        key=lambda row: row.seconds,
    )


def spin_with(flag: str, design: str, scenario: str, cpus: int) -> Row:
    """One search by Spin, its verifier compiled with ``flag``.

    Raises:
        SystemExit: a tool failed, or said something that is not understood.
    """
    with TemporaryDirectory() as folder:
        for source in HERE.glob("*.pml"):
            shutil.copy(source, folder)
        text = f'#define DESIGN "{design}.pml"\n'
        text += macros(with_cpus(SCENARIOS[scenario], cpus), design) + '#include "kvm.pml"\n'
        Path(folder, "scenario.pml").write_text(text)
        began = time.perf_counter()
        for command in (
            ["spin", "-a", "scenario.pml"],
            ["gcc", flag, "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
            ["./pan", f"-m{DEPTH}"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        seconds = time.perf_counter() - began
    states = re.search(r"(\d+) states, stored", done.stdout)
    errors = re.search(r"errors: (\d+)", done.stdout)
    if states is None or errors is None or any(problem in done.stdout for problem in _PROBLEMS):
        sys.exit(f"what pan says is not understood:\n{done.stdout}")
    return Row("fail" if int(errors[1]) else "pass", int(states[1]), seconds)


if __name__ == "__main__":
    main()
