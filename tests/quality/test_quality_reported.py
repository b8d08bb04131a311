"""Reported mistakes that are not a posted design of their own: found, whatever the seed."""

from __future__ import annotations

import pytest

from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v4 import V4
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.host import Host
from tdxfuzz.host.kvm import mmu
from tdxfuzz.host.kvm.vm import Spte, Vm
from tdxfuzz.host.scenarios import SCENARIOS
from tdxfuzz.search import ENGINES
from tdxfuzz.search.frontier import Bounds
from tdxfuzz.search.hunt import Budget, hunt
from tdxfuzz.search.shrink import shrink
from tdxfuzz.search.systematic import Verdict, verify

BUDGET = Budget(cases=8_000)


class TakesNotFreeForAnError(V6):
    """v4's put, which takes the last reference away outside the lock, with v6's get, to which
    the pair that such a put left in place is an error.

    Reviewers asked more than once why HPA_RANGE_NOT_FREE is tolerated: this is why.
    """

    put = V4.put


class OnePairShort(Merged):
    """The top-up counts the three S-EPT pages of a cold fault and forgets the guest page."""

    pamt_cache_pages = 2 * 3


def first_bucket(layer: type[RefcountLayer], seed: int) -> str:
    """The shrunk bucket of what the default engine finds first."""
    found = hunt("Mutant", ENGINES["portfolio"](), seed, BUDGET, design=layer).found
    assert found is not None
    best = shrink(found, layer).run
    assert best.case.operations <= 6
    assert best.preemptions <= 3
    assert best.finding is not None
    return best.finding.bucket


def test_a_pair_still_in_place_must_not_fail_a_get() -> None:
    """All orders of a map and a zap: v4 survives them, the mistaken one does not."""
    case = SCENARIOS["map-zap"].case("v4")
    assert verify(case, None, Bounds()).verdict is Verdict.PASS
    verified = verify(case, TakesNotFreeForAnError, Bounds())
    assert verified.verdict is Verdict.FAIL
    assert verified.found is not None
    assert verified.found.finding is not None
    finding = verified.found.finding
    assert finding.bucket == "unexpected-status/TakesNotFreeForAnError/WARN/-"
    assert "HPA_RANGE_NOT_FREE" in finding.message


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_top_up_one_pair_short_is_found(seed: int) -> None:
    assert first_bucket(OnePairShort, seed) == "cache-underflow/-/-/PAMT page"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_external_update_done_twice_for_one_entry_is_found(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``handle_changed_spte`` told the TDX side twice (review of v5 08/45): two puts."""
    once = mmu.remove_page

    def twice(host: Host, vm: Vm, gpa: int, spte: Spte) -> None:
        pfn = spte.pfn
        once(host, vm, gpa, spte)
        host.put(pfn, "guest page")

    monkeypatch.setattr(mmu, "remove_page", twice)
    check = first_bucket(Merged, seed).split("/")[0]
    assert check in {"refcount", "unexpected-status", "pamt-in-use"}
