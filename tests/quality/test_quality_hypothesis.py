"""The five-line Hypothesis test finds every seeded bug, and passes for what was merged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.power import DESIGNS
from tdxfuzz.assertions import Broken, assert_clean
from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import standard as standard_cases
from tdxfuzz.run.result import Contention, Run
from tdxfuzz.stateful import concurrent_machine
from tdxfuzz.strategies import cases
from tdxfuzz.testing import stateful
from tdxfuzz.testing.profiles import ORDERS
from tiers import first_quick, only_quick, slow

CI = settings(
    settings.get_profile("ci"),
    derandomize=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The profile ``ci``, with a seed that the test chooses, and without a phase ``shrink``."""


SHORT_SOON = ("rfc", "v2", "v3-base", "per-range-rwlock")
"""What is found in them shrinks in little time; one of each kind of bug."""


@pytest.mark.parametrize("number", first_quick(1, [1, 2]))
@pytest.mark.parametrize("design", only_quick(SHORT_SOON, DESIGNS))
def test_five_lines_find_every_seeded_bug(
    design: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDXFUZZ_OUT", str(tmp_path))

    @seed(number)
    @CI
    @given(cases(design))
    def test(case: Case) -> None:
        assert_clean(case, orders=ORDERS["ci"])

    with pytest.raises(Broken) as caught:
        test()
    assert len(str(caught.value).splitlines()) <= 36


@slow
def test_five_lines_pass_for_what_was_merged() -> None:
    @seed(1)
    @CI
    @given(cases("merged"))
    def test(case: Case) -> None:
        assert_clean(case, orders=ORDERS["ci"])

    test()


def test_hypothesis_draws_few_programs_twice() -> None:
    """One string of bytes has no parts that it could copy."""
    drawn: list[Case] = []

    @seed(1)
    @CI
    @given(cases("merged", most=0))
    def test(case: Case) -> None:
        drawn.append(case)

    test()
    assert len(drawn) == 200
    standard = {each for areas in (False, True) for each in standard_cases("merged", 2, areas)}
    own = [case for case in drawn if case not in standard]
    assert len(own) >= 160, "the standard scenarios are few, so they come again"
    assert len(set(own)) >= len(own) - 5


@pytest.mark.parametrize("number", first_quick(1, [1, 2, 3]))
def test_the_concurrent_machine_finds_the_hint_race(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDXFUZZ_OUT", str(tmp_path))
    machine = seed(number)(concurrent_machine("hint"))
    bucket = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    with pytest.raises(Broken, match=bucket):
        # One example in 20 has the race, about. Of 50 examples one test in ten would have none.
        run_state_machine_as_test(machine, settings=settings(CI, max_examples=150))


@pytest.mark.parametrize("cpus", first_quick(1, [2, 3]))
def test_nearly_all_examples_of_the_machine_have_contention(
    cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of four had none while operations that do nothing were started."""
    met: list[Contention] = []

    def note(steered: Run, case: Case, design: object = None) -> None:
        met.append(steered.contention)

    monkeypatch.setattr(stateful, "assert_same", note)
    monkeypatch.setattr(stateful, "assert_clean", lambda *_: None)
    machine = seed(1)(concurrent_machine("merged", cpus=cpus))
    run_state_machine_as_test(machine, settings=settings(CI, max_examples=50))
    # An example whose data run out is run, but Hypothesis does not count it.
    assert len(met) >= 50
    assert met.count(Contention.NONE) <= 8
    assert met.count(Contention.EDGE) >= 35
