"""Reported mistakes that are not a posted design of their own: found, whatever the seed."""

from __future__ import annotations

from random import Random

import pytest

from tdxfuzz.abi import Status
from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.draw import other_orders
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import Pair, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v4 import V4
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.seamcalls import VP_FLUSH
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import Fault
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick

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


class HeadMadeByInit(Merged):
    """v3 made the list head of a vCPU's cache in KVM_TDX_INIT_VCPU only (2025-09-30)."""

    cache_made_by_vcpu_init = True


def first_bucket(layer: type[RefcountLayer], seed: int, shrinks: bool = True) -> str:
    """The bucket of what the default engine finds first; ``shrinks``: and it is a short trace."""
    found = hunt(HuntPlan("Mutant", BUDGET, design=layer, seed=seed)).found
    assert found is not None
    assert found.finding is not None
    if not shrinks:
        return found.finding.bucket
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
    what = "PAMT.ADD failed: HPA_RANGE_NOT_FREE"
    assert finding.bucket == f"unexpected-status/TakesNotFreeForAnError/WARN/{what}"


@pytest.mark.parametrize("seed", first_quick(1, [1, 2, 3]))
def test_a_top_up_one_pair_short_is_found(seed: int) -> None:
    assert first_bucket(OnePairShort, seed) == "cache-underflow/-/-/PAMT page"


@pytest.mark.parametrize("seed", first_quick(1, range(1, 21)))
def test_a_vcpu_destroyed_without_having_been_initialised_is_found(seed: int) -> None:
    bucket = "cache-underflow/-/-/PAMT page list"
    assert first_bucket(HeadMadeByInit, seed) == bucket


def test_a_vcpu_that_ran_may_go() -> None:
    """One CPU, whose vCPU faults before its TD goes: nothing to report."""
    programs = ((Op("create", (0,)), Op("map", (0, 0)), Op("destroy", (0,))),)
    case = Case("HeadMadeByInit", World(cpus=1), programs=programs)
    assert run(case, HeadMadeByInit).finding is None
    early = Case("HeadMadeByInit", World(cpus=1), programs=(programs[0][::2],))
    assert run(early, HeadMadeByInit).finding is not None


class ZapsTwice(Kvm):
    """``handle_changed_spte`` told the TDX side twice (review of v5 08/45): two puts."""

    def remove_page(self, vm: Vm, gpa: int, spte: Spte) -> None:
        pfn = spte.pfn
        super().remove_page(vm, gpa, spte)
        self.host.put(pfn, "guest page")


@pytest.mark.parametrize("seed", first_quick(1, [1, 2, 3]))
def test_an_external_update_done_twice_for_one_entry_is_found(seed: int) -> None:
    check = first_bucket(under(Merged, ZapsTwice), seed).split("/")[0]
    assert check in {"refcount", "unexpected-status", "pamt-in-use"}


class WrongRegisters(Merged):
    """The pages of a pair are laid over the registers from R8 on, not from RDX (B20)."""

    def pamt_add(self, pfn: int, pair: Pair) -> Status:
        first, second = (page << 12 for page in pair)
        rcx = (pfn & -512) << 12 | 1
        return self.seamcall("TDH.PHYMEM.PAMT.ADD", rcx=rcx, r8=first, r9=second)[0]


@pytest.mark.parametrize("seed", [1])
def test_pages_in_the_wrong_registers_are_found(seed: int) -> None:
    what = "PAMT.ADD failed: OPERAND_ADDR_RANGE_ERROR"
    assert first_bucket(WrongRegisters, seed) == f"unexpected-status/WrongRegisters/WARN/{what}"


class FreesThenPuts(Kvm):
    """A sketch in the review of the RFC: by then somebody else may hold the page (B17)."""

    def free_control_page(self, pfn: int, kind: str, hint: bool = False) -> None:
        self.host.pages.free_page(pfn)
        self.host.put(pfn, kind, hint)


@pytest.mark.parametrize("seed", [1])
def test_a_page_freed_before_it_is_put_is_found(seed: int) -> None:
    bucket = first_bucket(under(Merged, FreesThenPuts), seed)
    assert bucket.startswith("page-owner/-/-/freed before put")


class TakesFlushForAnError(Kvm):
    """v3 02/16: the condition lost its "err &&" (B21)."""

    def bug_on(self, leaf: int, status: Status) -> bool:
        if leaf == VP_FLUSH:
            self.host.warn("KVM", f"VP.FLUSH = {status}", leaf, status)
            return True
        return super().bug_on(leaf, status)


@pytest.mark.parametrize("shrinks", first_quick(1, [False, True]))
def test_a_flush_that_succeeded_reported_as_an_error_is_found(shrinks: bool) -> None:
    bucket = first_bucket(under(Merged, TakesFlushForAnError), 4, shrinks)
    assert bucket == "unexpected-status/TDH.VP.FLUSH/SUCCESS/-"


class PresentTooEarly(Kvm):
    """``map_page`` that writes the mirror SPTE before it knows whether AUG succeeds (B19)."""

    def map_page(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
        if spte.read() == Spte.PRESENT or not spte.try_freeze():
            return 0
        spte.write(Spte.PRESENT, pfn)
        return self.mem_page_aug(vm, vcpu, gpa, pfn)


def test_an_entry_written_before_its_call_succeeded_is_found() -> None:
    """AUG is refused once: the guest faults again, finds the entry there, and a zap of what
    was never mapped goes wrong.
    """
    programs = (tuple(map(Op.parse, ("create 0", "map 0 0", "zap 0 0"))),)

    def zaps_gone_wrong(layer: type[RefcountLayer]) -> int:
        cases = (
            Case("merged", World(cpus=1), programs=programs, faults=(Fault("refuse", index),))
            for index in range(60)
        )
        runs = [run(case, layer) for case in cases]
        buckets = [ran.finding.bucket for ran in runs if ran.finding is not None]
        return sum(bucket.startswith("unexpected-status/TDH.MEM.RANGE.BLOCK") for bucket in buckets)

    assert zaps_gone_wrong(Merged) == 0
    assert zaps_gone_wrong(under(Merged, PresentTooEarly)) == 1


def waits(design: str) -> int:
    """How often CPU 1, whose ranges keep their pairs, waits while CPU 0 makes one come and go."""
    world = World(slots=2, guest_ranges=(0, 3))
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0", "map 0 1", "map 1 1")))
    noisy = tuple(map(Op.parse, ("zap 0 0", "map 0 0") * 3))
    quiet = tuple(map(Op.parse, ("zap 1 1", "map 1 1")))
    base = BaseRun(Case(design, world, setup, (noisy, quiet)))
    rng, engine = Random(1), ENGINES["portfolio"]()
    return sum(each.waits for each in other_orders(base, rng, engine, 150))


def test_with_every_put_under_one_lock_a_noisy_neighbour_is_heard() -> None:
    """B22: the merged code serialises the gets of all TDs; with v6's fast path CPU 1 needs no
    lock, for its range is held all the time.
    """
    assert waits("v6") == 0
    assert waits("merged") > 20
