"""Same case, same trace: in another process, with another hash seed, on another Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from random import Random

import pytest

from golden_files import ROOT, check_golden
from tdxfuzz.case.case import Case
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.sim import Schedule
from tiers import first_quick

SCRIPT = """
from random import Random
from tdxfuzz.run.session import run
from test_determinism import some_cases
for case in some_cases():
    print(run(case, traced=True).trace.hash())
"""


def some_cases() -> list[Case]:
    """Two dozen cases of every design, with preemptions."""
    rng = Random(11)
    found = []
    for design in ("hint", "v4", "v6", "merged"):
        for cpus in (2, 3):
            for _ in range(4):
                case = draw_case(RandomChoices(rng), design, cpus)
                pairs = [(rng.randrange(400), rng.randrange(cpus)) for _ in range(3)]
                found.append(case.with_schedule(Schedule.of(pairs)))
    return found


def hashes(python: str, hash_seed: str) -> str:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    return subprocess.run(
        [python, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("hash_seed", first_quick(1, ["4711", "0", "1"]))
def test_traces_do_not_depend_on_the_hash_seed(hash_seed: str) -> None:
    check_golden("some-cases.hashes", hashes(sys.executable, hash_seed))


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_traces_do_not_depend_on_the_python(version: str) -> None:
    python = shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"no python{version} here")
    usable = subprocess.run([python, "-c", "import greenlet, attrs"], capture_output=True)
    if usable.returncode:
        pytest.skip(f"python{version} has no greenlet and attrs")
    check_golden("some-cases.hashes", hashes(python, "0"))
