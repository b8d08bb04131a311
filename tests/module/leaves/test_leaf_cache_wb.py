"""TDH.PHYMEM.CACHE.WB: one package's cache, in parts, for all HKIDs on their way out."""

from __future__ import annotations

import pytest

from tdxfuzz.module.platform import Platform

from ..lab import HKID, TDR, Lab, Stage, page
from ..rows import Refusal, check_refused
from ..states import keys_held, then

WB = "PHYMEM.CACHE.WB"


def flushed(lab: Lab) -> None:
    lab.td(Stage.CREATED)
    lab.ok("MNG.VPFLUSHDONE", rcx=TDR)


def interrupted(lab: Lab) -> None:
    flushed(lab)
    lab.lps[0].interrupt_pending = True
    assert lab.call(WB).text == "INTERRUPTED_RESUMABLE"
    lab.lps[0].interrupt_pending = False


def package_held(lab: Lab) -> None:
    assert lab.module.keys.writeback[0].lock.acquire()


def both_held(lab: Lab) -> None:
    then(flushed, keys_held)(lab)
    package_held(lab)


REFUSALS = [
    Refusal("command 2", {"rcx": 2}, "OPERAND_INVALID|RCX", flushed),
    Refusal("high bits", {"rcx": 1 << 63}, "OPERAND_INVALID|RCX", flushed),
    Refusal("command before locks", {"rcx": 2}, "OPERAND_INVALID|RCX", both_held),
    Refusal("package busy", {"rcx": 0}, "OPERAND_BUSY|WBCACHE", package_held),
    Refusal("package before keys", {"rcx": 0}, "OPERAND_BUSY|WBCACHE", both_held),
    Refusal("keys busy", {"rcx": 0}, "OPERAND_BUSY|KOT", then(flushed, keys_held)),
    Refusal("nothing to do", {"rcx": 0}, "NO_HKID_READY_TO_WBCACHE"),
    Refusal("nothing to resume", {"rcx": 1}, "WBCACHE_RESUME_ERROR"),
    Refusal("never interrupted", {"rcx": 1}, "WBCACHE_RESUME_ERROR", flushed),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_it_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    assert check_refused(lab, WB, row).regs.rcx == row.registers["rcx"]


def test_success_takes_the_package_off_the_hkids_list(lab: Lab) -> None:
    flushed(lab)
    lab.ok(WB)
    assert lab.state()["kot"] == {str(HKID): ["FLUSHED", 0]}
    assert lab.held() == {}


def test_a_cache_can_be_written_back_twice(lab: Lab) -> None:
    flushed(lab)
    lab.ok(WB)
    assert lab.call(WB).text == "SUCCESS"


def test_an_interrupted_write_back_has_done_nothing_that_shows(lab: Lab) -> None:
    interrupted(lab)
    assert lab.state()["kot"] == {str(HKID): ["FLUSHED", 1]}
    assert lab.held() == {}


def test_with_interrupts_all_the_time_it_ends_after_as_many_calls_as_parts(lab: Lab) -> None:
    flushed(lab)
    lab.lps[0].interrupt_pending = True
    answers = [lab.call(WB, rcx=0).text]
    while answers[-1] == "INTERRUPTED_RESUMABLE":
        answers.append(lab.call(WB, rcx=1).text)
    assert answers == ["INTERRUPTED_RESUMABLE"] * 3 + ["SUCCESS"]


def test_the_number_of_parts_belongs_to_the_platform() -> None:
    lab = Lab(platform=Platform(cache_sub_blocks=1))
    flushed(lab)
    lab.lps[0].interrupt_pending = True
    assert lab.call(WB).text == "SUCCESS"


def test_resuming_goes_on_with_the_hkids_of_the_start(lab: Lab) -> None:
    """A TD that is blocked meanwhile has to wait for the next write-back."""
    interrupted(lab)
    lab.td(Stage.CREATED, home=9, hkid=41)
    lab.ok("MNG.VPFLUSHDONE", rcx=page(9))
    lab.ok(WB, rcx=1)
    assert lab.state()["kot"] == {"40": ["FLUSHED", 0], "41": ["FLUSHED", 1]}
    assert lab.call(WB, rcx=1).text == "WBCACHE_RESUME_ERROR"


def test_starting_again_takes_in_the_new_ones(lab: Lab) -> None:
    interrupted(lab)
    lab.td(Stage.CREATED, home=9, hkid=41)
    lab.ok("MNG.VPFLUSHDONE", rcx=page(9))
    lab.ok(WB, rcx=0)
    assert lab.state()["kot"] == {"40": ["FLUSHED", 0], "41": ["FLUSHED", 0]}


def test_a_new_start_forgets_where_the_last_one_was(lab: Lab) -> None:
    interrupted(lab)
    lab.ok(WB, rcx=0)
    assert lab.call(WB, rcx=1).text == "WBCACHE_RESUME_ERROR"


def test_even_a_start_with_nothing_to_do_forgets_it(lab: Lab) -> None:
    flushed(lab)
    lab.ok(WB)
    lab.lps[0].interrupt_pending = True
    assert lab.call(WB).text == "INTERRUPTED_RESUMABLE"
    lab.ok("MNG.KEY.FREEID", rcx=TDR)
    assert lab.call(WB, rcx=0).text == "NO_HKID_READY_TO_WBCACHE"
    assert lab.call(WB, rcx=1).text == "WBCACHE_RESUME_ERROR"


def test_packages_write_back_beside_each_other() -> None:
    lab = Lab(cpus=2, platform=Platform(packages=2))
    lab.lps[1].package = 1
    flushed(lab)
    assert lab.module.keys.writeback[0].lock.acquire()
    assert lab.call(WB, cpu=0).text == "OPERAND_BUSY|WBCACHE"
    assert lab.call(WB, cpu=1).text == "SUCCESS"


def test_both_locks_are_held_through_the_whole_loop(lab: Lab) -> None:
    flushed(lab)
    events = lab.record()
    lab.ok(WB)
    assert events == ["acq MUTEX WBT[0]", "acq SH KOT", "rel SH KOT", "rel MUTEX WBT[0]"]
