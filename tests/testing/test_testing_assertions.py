"""What a failing test says."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from golden_files import HINT_RACE
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.repro.read import read
from tdxfuzz.run.session import run
from tdxfuzz.testing.assertions import OUT, Broken, assert_clean, assert_same


class FreshHint(Hint):
    """A design of its own, so that no other test has shrunk its bug before."""


def test_a_broken_invariant_comes_with_trace_and_reproducer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OUT, str(tmp_path))
    case = evolve(read(HINT_RACE).case, design="FreshHint")
    with pytest.raises(Broken) as caught:
        assert_clean(case, FreshHint)
    text = str(caught.value)
    (path,) = tmp_path.iterdir()
    assert text.startswith("pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range\n\nbefore: create")
    assert "CPU 0                                   CPU 1" in text
    assert f"\nReproduce with: tdxfuzz replay {path}\n" in text
    name = path.name.removesuffix(".tdx.toml")
    assert text.endswith(
        f"or: pytest -p tdxfuzz.pytest_plugin --tdx-regressions {tmp_path} -k {name}"
    )
    assert read(path).expect.check == "pamt-in-use"

    with pytest.raises(Broken) as again:
        assert_clean(case, FreshHint)
    assert str(again.value) == text, "the same bug gives the same answer at once"


def test_a_clean_case_gives_its_run() -> None:
    case = evolve(read(HINT_RACE).case, design="v6")
    assert assert_clean(case).finding is None


def test_a_steered_run_that_differs_from_its_case_is_our_mistake() -> None:
    case = read(HINT_RACE).case
    assert_same(run(case), case)
    with pytest.raises(AssertionError, match="steps: "):
        assert_same(run(evolve(case, design="merged")), case)
