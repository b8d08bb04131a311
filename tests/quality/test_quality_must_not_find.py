"""Sound designs stay clean, and the hunt that says so has seen what it should."""

from __future__ import annotations

import pytest

from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.run.tally import RUNNING
from tiers import first_quick

BUSY = "OPERAND_BUSY"
MAY_BE_RARE = ("BUSY seen", *RUNNING)
"""Witnesses that some hundred cases may leave at zero."""

MEETS_A_GUEST = {
    "TDH.VP.ENTER",
    "TDH.MEM.RANGE.BLOCK",
    "TDH.MEM.RANGE.UNBLOCK",
    "TDH.MEM.TRACK",
    "TDH.MEM.PAGE.AUG",
    "TDH.MEM.PAGE.DEMOTE",
    "TDH.MEM.PAGE.REMOVE",
    "TDH.MEM.SEPT.ADD",
    "TDH.PHYMEM.PAGE.WBINVD",
}
"""Two CPUs may enter one vCPU. The other leaves may meet a vCPU that runs: KVM kicks the vCPUs
out and calls once more (``tdh_do_no_vcpus``). A fault whose SEPT.ADD or AUG was busy is taken
again."""


@pytest.mark.parametrize("cases", first_quick(1, [600, 4_000]))
@pytest.mark.parametrize("cpus", first_quick(1, [3, 2]))
@pytest.mark.parametrize("design", ["v6", "merged"])
def test_a_sound_design_is_clean_and_was_really_tried(design: str, cpus: int, cases: int) -> None:
    result = hunt(HuntPlan(design, Budget(cases=cases), cpus=cpus))
    assert result.found is None
    assert result.statistics.unseen() == []
    busy = {leaf for leaf, by_status in result.statistics.table().items() if BUSY in by_status}
    assert busy <= MEETS_A_GUEST, "the host's locks keep apart what clashes, but for guests"
    witnesses = result.statistics.witnesses()
    assert all(n for what, n in witnesses.items() if what not in MAY_BE_RARE), witnesses
    assert result.statistics.discarded == 0
