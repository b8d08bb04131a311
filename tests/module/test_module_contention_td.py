"""Two calls on one TD, or on the key table: who shares, who is busy."""

from __future__ import annotations

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K

from .lab import GPA, NEW, TDR, TDVPR, Lab, Stage, page
from .races import Ending, all_orders, call
from .states import paired, tables

OK, BUSY = "SUCCESS", "OPERAND_BUSY|RCX"
TREE = "OPERAND_BUSY|SEPT_TREE"
STATE, WALK = "EPT_ENTRY_STATE_INCORRECT|RCX", "EPT_WALK_FAILED|RCX"
AUG = call("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
LARGE = GPA + SIZE_2M


def with_large_page(lab: Lab) -> None:
    td = lab.td()
    td.tables()
    td.aug(page(0), LARGE, level=1)


def split_page(lab: Lab) -> None:
    with_large_page(lab)
    lab.ok("MEM.PAGE.DEMOTE", rcx=LARGE | 1, rdx=TDR, r8=page(8, 40), r12=page(300), r13=page(301))


def test_two_augs_of_one_gpa() -> None:
    """The entry lock decides; a loser that comes later finds the entry in use."""
    other = call("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=page(8, 400))
    outcomes = all_orders(tables, AUG, other)
    assert set(outcomes) == {(OK, BUSY), (BUSY, OK), (OK, STATE), (STATE, OK)}


def test_two_augs_of_one_page() -> None:
    other = call("MEM.PAGE.AUG", rcx=GPA + SIZE_4K, rdx=TDR, r8=NEW)
    outcomes = all_orders(tables, AUG, other)
    busy, used = "OPERAND_BUSY|R8", "PAGE_METADATA_INCORRECT|R8"
    assert set(outcomes) == {(OK, busy), (busy, OK), (OK, used), (used, OK)}


def test_augs_of_different_gpas_and_pages_do_not_meet() -> None:
    other = call("MEM.PAGE.AUG", rcx=GPA + SIZE_4K, rdx=TDR, r8=page(8, 400))
    assert set(all_orders(tables, AUG, other)) == {(OK, OK)}


def test_aug_and_block_want_the_tree_each_in_its_way() -> None:
    block = call("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)
    outcomes = all_orders(tables, AUG, block)
    assert set(outcomes) == {(OK, OK), (WALK, OK), (TREE, OK), (OK, TREE)}


def test_aug_and_promote_want_the_tree_and_promote_notices_who_waits() -> None:
    promote = call("MEM.PAGE.PROMOTE", rcx=LARGE | 1, rdx=TDR)
    outcomes = all_orders(split_page, AUG, promote, preemptions=1)
    assert set(outcomes) == {(OK, OK), (TREE, OK), (OK, TREE), (TREE, "INTERRUPTED_BUSY")}


def test_a_split_notices_who_waits_for_the_tree() -> None:
    demote = call("MEM.PAGE.DEMOTE", rcx=LARGE | 1, rdx=TDR, r8=NEW, r12=page(300), r13=page(301))
    block = call("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)
    outcomes = all_orders(with_large_page, demote, block, preemptions=1)
    assert set(outcomes) == {(OK, OK), (TREE, OK), (OK, TREE), ("INTERRUPTED_BUSY", TREE)}


def test_aug_and_track_do_not_meet() -> None:
    assert set(all_orders(tables, AUG, call("MEM.TRACK", rcx=TDR))) == {(OK, OK)}


def test_aug_and_demote_do_not_meet() -> None:
    demote = call(
        "MEM.PAGE.DEMOTE", rcx=LARGE | 1, rdx=TDR, r8=page(8, 400), r12=page(300), r13=page(301)
    )
    assert set(all_orders(with_large_page, AUG, demote, preemptions=1)) == {(OK, OK)}


def test_two_tracks_are_busy_or_count_both() -> None:
    epochs: set[tuple[tuple[str, str], int]] = set()

    def judge(ending: Ending) -> None:
        epoch = ending.lab.module.tdr_at(TDR).tdcs.td_epoch.value
        epochs.add((ending.outcome, epoch))

    track, busy = call("MEM.TRACK", rcx=TDR), "OPERAND_BUSY|TD_EPOCH"
    all_orders(tables, track, track, judge)
    assert epochs == {((OK, OK), 3), ((OK, busy), 2), ((busy, OK), 2)}


def test_creates_in_one_range_meet_only_at_the_key_table() -> None:
    first = call("MNG.CREATE", rcx=page(0, 1), rdx=40)
    second = call("MNG.CREATE", rcx=page(0, 2), rdx=41)
    busy = "OPERAND_BUSY|KOT"
    assert set(all_orders(paired, first, second)) == {(OK, OK), (OK, busy), (busy, OK)}


def test_two_creates_with_one_hkid() -> None:
    first = call("MNG.CREATE", rcx=page(0, 1), rdx=40)
    second = call("MNG.CREATE", rcx=page(0, 2), rdx=40)
    busy, taken = "OPERAND_BUSY|KOT", "HKID_NOT_FREE"
    expected = {(OK, taken), (taken, OK), (OK, busy), (busy, OK)}
    assert set(all_orders(paired, first, second)) == expected


def test_a_cache_write_back_keeps_others_from_the_key_table() -> None:
    def one_flushed(lab: Lab) -> None:
        lab.td(Stage.CREATED, home=9, hkid=41)
        lab.ok("MNG.VPFLUSHDONE", rcx=page(9))
        lab.pair(0)

    write_back = call("PHYMEM.CACHE.WB")
    create = call("MNG.CREATE", rcx=page(0, 1), rdx=40)
    busy = "OPERAND_BUSY|KOT"
    assert set(all_orders(one_flushed, write_back, create)) == {(OK, OK), (OK, busy), (busy, OK)}


def test_two_pages_for_one_td_need_its_tdr_exclusive() -> None:
    def with_keys(lab: Lab) -> None:
        lab.td(Stage.KEYS)

    first = call("MNG.ADDCX", rcx=NEW, rdx=TDR)
    second = call("MNG.ADDCX", rcx=page(8, 400), rdx=TDR)
    busy = "OPERAND_BUSY|RDX"
    assert set(all_orders(with_keys, first, second)) == {(OK, OK), (OK, busy), (busy, OK)}


def test_a_vcpu_page_given_twice_goes_to_one_vcpu() -> None:
    def two_vcpus(lab: Lab) -> None:
        lab.td()
        for tdvpr in (TDVPR, page(8, 72)):
            lab.ok("VP.CREATE", rcx=tdvpr, rdx=TDR)

    first = call("VP.ADDCX", rcx=NEW, rdx=TDVPR)
    second = call("VP.ADDCX", rcx=NEW, rdx=page(8, 72))
    used = "PAGE_METADATA_INCORRECT|RCX"
    expected = {(OK, BUSY), (BUSY, OK), (OK, used), (used, OK)}
    assert set(all_orders(two_vcpus, first, second)) == expected
