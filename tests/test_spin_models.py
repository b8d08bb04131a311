"""The Promela models begin where the Python ones do, and come to the same verdict."""

from __future__ import annotations

import shutil
import sys

import pytest

from benchmarks.spin import __main__ as spin
from benchmarks.spin.start import macros
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.verify.search import verify

needs_spin = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("spin") and shutil.which("gcc")),
    reason="spin and gcc are not installed",
)


def test_a_start_is_the_world_after_the_setup() -> None:
    lines = macros(SCENARIOS["map-zap"], "v6").splitlines()
    assert lines[:2] == ["#define CPUS 2", "#define RANGES 4"]
    setup = next(line for line in lines if line.startswith("#define SETUP"))
    start = next(line for line in lines if line.startswith("#define START"))
    for part in ("has_pair[0] = 1", "count[0] = 1", "holders[0] = 1", "refcount[0] = 1"):
        assert part in setup.split("; ") or f"#define SETUP {part}" in setup
    assert "run cpu(1)" in setup
    # CPU 0 maps the first page of TD 1, whose S-EPT has only its root; CPU 1 zaps.
    assert ":: me == 0 -> home = 2; missing_levels = 3; mapped = 0" in start
    assert "program[0] = MAP :: me == 1 -> home = 1; missing_levels = 0; mapped = 1" in start
    assert start.endswith("program[0] = ZAP fi")


def test_each_further_cpu_has_its_share_of_the_pages() -> None:
    text = macros(with_cpus(SCENARIOS["zap-zap"], 3), "v6")
    assert "#define CPUS 3" in text
    starts = [part.split(";")[0] for part in text.split("fresh = ")[1:]]
    assert len(set(starts)) == 3


@pytest.mark.parametrize("name", ["create-destroy", "vcpu-map"])
def test_what_the_models_do_not_speak_of_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="beyond the Promela models"):
        macros(SCENARIOS[name], "v6")


@needs_spin
@pytest.mark.parametrize("design", spin.DESIGNS)
def test_spin_comes_to_the_same_verdict(design: str) -> None:
    theirs = spin.spin_with("-O0", design, "zap-zap", 2)
    assert theirs.verdict == verify(SCENARIOS["zap-zap"].case(design)).verdict.value
