"""A second library, written from the header alone: no hook, no snapshot, another style."""

from __future__ import annotations

import pytest

from c_layers import needs_compiler
from commands import Invoke
from target_libraries import build
from tdxfuzz.targets.library.diff import Diff, Found
from tdxfuzz.targets.library.known import Known
from tdxfuzz.targets.library.process import Library
from tiers import slow

pytestmark = needs_compiler

ERROR = "PAIRS_ERROR"
"""The environment variable that names a deliberate error of this library."""


def run(cases: int) -> tuple[list[Found], Diff]:
    """What is found of it, and what was done."""
    found: list[Found] = []
    with Library(build("pairs")) as library:
        diff = Diff(library, Known(), 1)
        diff.run(cases, None, found.append, lambda tally: None)
    return found, diff


def test_a_library_with_few_leaves_and_no_flag_agrees_with_the_model() -> None:
    found, diff = run(25)
    assert found == []
    assert diff.tally.interleaved == 0
    reached = diff.tally.statuses
    assert reached["TDH.PHYMEM.PAMT.ADD", "SUCCESS"] > 20
    assert reached["TDH.PHYMEM.PAMT.REMOVE", "SUCCESS"] > 20


@slow
def test_it_agrees_in_a_hundred_thousand_calls() -> None:
    found, diff = run(700)
    assert found == []
    assert diff.tally.calls > 100_000


@pytest.mark.parametrize(
    ("error", "leaf", "field"),
    [
        ("status", "TDH.PHYMEM.PAMT.REMOVE", "status"),
        pytest.param("undo", "TDH.PHYMEM.PAMT.ADD", "status", marks=slow),
        ("reset", "reset", "reset"),
    ],
)
def test_its_deliberate_errors_are_found_without_a_snapshot(
    error: str, leaf: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ERROR, error)
    found, _ = run(12)
    assert found
    divergence = found[0].divergence
    assert (divergence.leaf, divergence.field) == (leaf, field)
    boot = [call for call in found[0].trial.calls if call.name.startswith("SYS_")]
    assert len(found[0].trial.calls) - len(boot) <= 6


def test_hostile_calls_of_several_lps_need_the_hook(invoke: Invoke) -> None:
    answer = invoke("hunt", "hostile", "--library", build("pairs"), "--cases", "2")
    assert answer.code == 2
    assert "need TDXT_HAS_HOOK, which the library lacks" in answer.err


def test_its_recording_is_the_models(invoke: Invoke, tmp_path: object) -> None:
    out = f"{tmp_path}/pairs.jsonl.gz"
    assert invoke("record", "--library", build("pairs"), "--out", out, "--cases", "5").code == 0
    assert invoke("conform", out).code == 0
