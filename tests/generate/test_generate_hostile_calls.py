"""Raw SEAMCALLs: what is drawn makes sense, and finds what a host must not do."""

from __future__ import annotations

from random import Random

import pytest

from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import HOSTILE_LEAVES, draw_hostile, fitting_calls
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink
from tiers import first_quick

FATAL = "module-fatal/TDH.PHYMEM.PAMT.REMOVE/FATAL_343/module"
GIVEN_BACK = "page-owner/-/-/PAMT page"


@pytest.mark.parametrize("setup", SETUPS)
def test_every_setup_can_be_gone_on_from(setup: str) -> None:
    calls = fitting_calls(setup)
    assert "TDH.PHYMEM.PAMT.ADD" in calls
    assert len(calls) >= 5


def test_a_call_that_another_one_enables_is_found() -> None:
    (remove,) = fitting_calls("mapped")["TDH.MEM.PAGE.REMOVE"]
    assert "TDH.PHYMEM.PAMT.REMOVE" not in fitting_calls("mapped")
    (enabled,) = fitting_calls("mapped", (remove,))["TDH.PHYMEM.PAMT.REMOVE"]
    assert str(enabled) == "TDH.PHYMEM.PAMT.REMOVE rcx=A0|1"


def test_programs_call_every_leaf_and_the_same_seed_draws_the_same() -> None:
    first, second = (
        [draw_hostile(RandomChoices(rng)) for _ in range(count)]
        for rng, count in ((Random(1), 600), (Random(1), 100))
    )
    assert first[:100] == second
    called = {op.name for case in first for program in case.programs for op in program}
    assert called == {leaf.name for leaf in HOSTILE_LEAVES}


@pytest.mark.parametrize("seed", first_quick(1, [17, 6]))
def test_a_hostile_hunt_goes_on_after_its_first_finding(seed: int) -> None:
    """Both are in docs/findings.md."""
    result = hunt(HuntPlan("hostile", Budget(cases=1_500), seed=seed))
    assert set(result.findings) == {FATAL, GIVEN_BACK}
    for bucket, found in result.findings.items():
        best = shrink(found.run).run
        assert (best.case.operations, best.preemptions) == (2, 1)
        for _ in range(10):
            again = run(best.case).finding
            assert again is not None
            assert again.bucket == bucket
