"""Sound designs stay clean, and the hunt that says so has seen what it should."""

from __future__ import annotations

import pytest

from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.hunt import Budget, hunt


@pytest.mark.parametrize("cpus", [2, 3])
@pytest.mark.parametrize("design", ["v6", "merged"])
def test_a_sound_design_is_clean_and_was_really_tried(design: str, cpus: int) -> None:
    hunted = hunt(design, ENGINES["portfolio"](), 1, Budget(cases=4_000), cpus)
    assert hunted.found is None
    assert hunted.statistics.unseen() == []
    witnesses = hunted.statistics.witnesses()
    assert witnesses.pop("BUSY seen") == 0, "the host's locks keep apart what clashes"
    assert all(witnesses.values()), witnesses
    assert hunted.statistics.discarded == 0
