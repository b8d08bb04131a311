"""Orders that people wrote down in the mail thread, as tests by name."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.run.tally import KICKED, NOT_KICKED, TDVPR
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow

CROSSED = World(
    cpus=2, tds=2, slots=2, guest_ranges=(0, 1), kernel_ranges=(2,), fresh_ranges=(0, 1)
)
"""Pages of pairs come from the ranges that the pairs are for, crosswise. Each TD has its S-EPT
pages before, and nobody holds either range."""

SETUP = ("create 0", "create 1", "map 0 1", "zap 0 1", "map 1 0", "zap 1 0")


@pytest.mark.parametrize(
    ("design", "bucket"),
    [
        ("per-range-rwlock", "deadlock/-/-/pamt_rwlock"),
        ("per-range-lock", "unexpected-status/PerRangeLock/WARN/PAMT.ADD failed: OPERAND_BUSY"),
    ],
)
def test_the_ab_ba_of_a1_and_b2(design: str, bucket: str) -> None:
    """CPU 0 adds the pair of A1 with a page of B, CPU 1 that of B2 with a page of A (review of the
    RFC, 2025). Locks as in the module, one for each range, wait for each other; with one lock for
    each range, and none for the pages of the pair, the module is BUSY.
    """
    programs = ((Op.parse("map 0 0"),), (Op.parse("map 1 1"),))
    checks = ("deadlock", "unexpected-status")
    case = Case(design, CROSSED, tuple(map(Op.parse, SETUP)), programs, checks=checks)
    found = verify(case, None, Bounds(1)).found
    assert found is not None
    assert found.findings[0].bucket == bucket


@pytest.mark.parametrize("design", ["per-range-rwlock-ordered", "merged", "v6"])
def test_a_global_or_an_ordered_lock_has_no_ab_ba(design: str) -> None:
    programs = ((Op.parse("map 0 0"),), (Op.parse("map 1 1"),))
    case = Case(design, CROSSED, tuple(map(Op.parse, SETUP)), programs)
    assert verify(case).found is None


@slow
def test_a_split_meets_busy_from_another_td_and_no_kick_helps() -> None:
    """PAMT contention can come from any TD (cover letter): v5 holds nothing around DEMOTE, and an
    ADD of another TD is in its way both times.
    """
    budget, scenario = Budget(cases=1_500), SCENARIOS["split-map"]
    clash = hunt(HuntPlan("v5", budget, scenario=scenario, seed=2))
    assert clash.statistics.met[NOT_KICKED] > 0
    assert clash.found is not None
    bucket = clash.found.findings[0].bucket
    assert bucket == "unexpected-status/TDH.MEM.PAGE.DEMOTE/OPERAND_BUSY/-"


@pytest.mark.parametrize(
    ("design", "bucket"),
    [
        ("hint", "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"),
        ("per-range-lock", "unexpected-status/PerRangeLock/WARN/PAMT.ADD failed: OPERAND_BUSY"),
    ],
)
def test_a_zap_and_the_add_of_another_td_are_in_each_others_way(design: str, bucket: str) -> None:
    """The zap takes the range for itself, and the pages that ADD gives lie in it."""
    found = verify(SCENARIOS["zap-add-other"].case(design)).found
    assert found is not None
    assert found.findings[0].bucket == bucket


def test_a_zap_meets_busy_from_an_add_of_another_td_and_nobody_can_be_kicked() -> None:
    done = hunt(HuntPlan("hint", Budget(cases=60), scenario=SCENARIOS["zap-add-other"], seed=1))
    assert done.statistics.met[NOT_KICKED] > 0
    assert done.statistics.met[KICKED] == 0


@pytest.mark.parametrize("design", ["merged", "v6"])
def test_under_a_global_lock_a_zap_never_meets_the_add_of_another_td(design: str) -> None:
    scenario = SCENARIOS["zap-add-other"]
    assert verify(scenario.case(design)).verdict is Verdict.PASS
    done = hunt(HuntPlan(design, Budget(cases=60), scenario=scenario, seed=1))
    assert done.statistics.met[NOT_KICKED] == 0


def test_busy_from_a_guest_that_left_before_the_kick_is_from_no_other_td() -> None:
    """BLOCK meets the TD's own vCPU, which is out of the guest before the IPI comes."""
    plan = HuntPlan("merged", Budget(cases=400), scenario=SCENARIOS["zap-run"], seed=1)
    met = hunt(plan).statistics.met
    assert met[KICKED] > 0
    assert met[NOT_KICKED] == 0


def test_an_add_by_hand_meets_the_range_of_a_running_vcpus_tdvpr() -> None:
    """VP.ENTER holds the range shared while the guest runs. No design adds it then, because the
    TDVPR holds the range's pair.
    """
    world = World(cpus=2, tds=1, slots=1, guest_ranges=(0,), kernel_ranges=(0,))
    setup = tuple(map(Op.parse, ("create 0", "vcpu 0", "finalize 0", "map 0 0")))
    programs = (
        (Op.parse("enter 0 0 accept:0,touch:0"),),
        (Op.parse("TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B0 r8=B1"),),
    )
    scenario = Scenario("by hand", "", world, setup, programs)
    done = hunt(HuntPlan("merged", Budget(cases=60), scenario=scenario, seed=1))
    assert done.found is None
    assert done.statistics.met[TDVPR] > 0
