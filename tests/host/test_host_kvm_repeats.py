"""What a design handles of its own calls, and what KVM repeats, are two things."""

from __future__ import annotations

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.hint import Hint


class OwnCallsAlone(Hint):
    """KVM gives up where the module is BUSY."""

    kvm_repeats = frozenset()


AsBefore = type("AsBefore", (Hint,), {"kvm_repeats": None})
"""Says of KVM nothing, as designs did before there were two names."""


@pytest.mark.parametrize(
    ("design", "found"), [(Hint, False), (AsBefore, False), (OwnCallsAlone, True)]
)
def test_kvm_gives_up_where_it_is_not_asked_to_repeat(design: type[Hint], found: bool) -> None:
    result = hunt(
        HuntPlan(
            design.__name__,
            Budget(cases=1_000),
            design=design,
            scenario=SCENARIOS["create-create"],
            checks=("unexpected-status",),
        )
    )
    assert result.statistics.busy
    assert bool(result.findings) is found
    assert all("TDH.MNG" in bucket for bucket in result.findings)


def test_built_in_designs_say_both() -> None:
    silent = [
        name
        for name, design in DESIGNS.items()
        if "OPERAND_BUSY" in design.tolerates and design.kvm_repeats is None
    ]
    assert not silent
