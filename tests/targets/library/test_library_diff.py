"""A library against the model: nothing is found where nothing is wrong, and every error else."""

from __future__ import annotations

from pathlib import Path

import pytest

from c_layers import needs_clang, needs_compiler
from target_libraries import ERROR, FLAGS, SOURCES, build
from tdxfuzz.host.c.compiler import compiler
from tdxfuzz.targets.library.build import FLAGS as RUNNER_FLAGS
from tdxfuzz.targets.library.build import INCLUDE
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.known import Known, KnownDivergence
from tdxfuzz.targets.library.process import Library
from tiers import slow

pytestmark = needs_compiler

ERRORS = {
    "status": ("TDH.MNG.CREATE", "status"),
    "register": ("TDH.PHYMEM.PAMT.REMOVE", "r8"),
    "lock-kind": ("TDH.MNG.CREATE", "event"),
    "no-release": ("TDH.PHYMEM.PAGE.RECLAIM", "event"),
    "order": ("TDH.PHYMEM.PAMT.ADD", "event"),
    "no-count": ("TDH.PHYMEM.PAGE.RECLAIM", "event"),
    "crash": ("TDH.PHYMEM.PAMT.REMOVE", "crash"),
    "abort": ("TDH.PHYMEM.PAMT.REMOVE", "crash"),
    "static": ("programs", "state.ranges"),
    "reset": ("reset", "reset"),
    "hang": ("TDH.PHYMEM.CACHE.WB", "hang"),
}
"""Deliberate errors of the reference library, and what each is found as."""

QUICK = {"status", "register", "no-release"}


def run(cases: int, seed: int = 1) -> list[Found]:
    """What is found of the reference library."""
    found: list[Found] = []
    with Library(build("reference")) as library:
        diff = Diff(library, Known(), seed)
        diff.run(cases, None, found.append, lambda tally: None)
    return found


def test_the_reference_library_agrees_with_the_model() -> None:
    assert run(25) == []


@slow
def test_it_agrees_in_a_hundred_thousand_calls() -> None:
    with Library(build("reference")) as library:
        diff = Diff(library, Known(), 3)
        diff.run(800, None, lambda found: pytest.fail(str(found)), lambda tally: None)
        assert diff.tally.calls > 100_000
        assert diff.tally.interleaved > 100


@pytest.mark.parametrize(
    "error", [pytest.param(name, marks=slow) if name not in QUICK else name for name in ERRORS]
)
def test_each_deliberate_error_is_found(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ERROR, error)
    found: list[Found] = []
    with Library(build("reference")) as library:
        diff = Diff(library, Known(), 1)
        for _ in range(40):
            if found:
                break
            diff.run(10, None, found.append, lambda tally: None)
    first = found[0]
    assert (first.divergence.leaf, first.divergence.field) == ERRORS[error]
    behind_the_boot = [call for call in first.trial.calls if not call.name.startswith("SYS_")]
    # Of two packages each configures its key and writes back its caches.
    assert len(behind_the_boot) + sum(map(len, first.trial.programs.values())) <= 11


@slow
def test_one_cause_is_one_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not released makes many later calls busy."""
    monkeypatch.setenv(ERROR, "no-release")
    assert [found.divergence.leaf for found in run(40)] == ["TDH.PHYMEM.PAGE.RECLAIM"]


def test_what_is_known_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ERROR, "status")
    known = Known((KnownDivergence("an older build", "TDH.MNG.CREATE", "status"),))
    found: list[Found] = []
    with Library(build("reference")) as library:
        diff = Diff(library, known, 1)
        diff.run(40, None, found.append, lambda tally: None)
    assert found == []
    assert 0 < diff.tally.met[known.entries[0]] <= 40  # sequences, however often it was looked at


@slow
def test_the_same_seed_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ERROR, "register")
    one, other = run(20)[0], run(20)[0]
    assert (one.divergence, one.trial) == (other.divergence, other.trial)


@needs_clang
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_runner_and_header_give_no_warning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", name)
    made = str(tmp_path / "made")
    runner = str(INCLUDE.parent / "runner/runner.c")
    compiler().must([*RUNNER_FLAGS, f"-I{INCLUDE}", runner, "-o", made, "-ldl"])
    compiler().must([*FLAGS, f"-I{INCLUDE}", str(SOURCES / "reference.c"), "-o", made])
