"""A running vCPU against the host: what its locks keep away, and who makes way for whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.sept_entry import TDHP
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td_exit import EPT_VIOLATION, EXTERNAL_INTERRUPT

from .guests import (
    ACCEPT,
    ENTER,
    READ,
    Script,
    enter,
    runnable,
    sept_state,
    septe,
    tdcall,
    touch,
)
from .lab import GPA, HOME, NEW, TDR, TDVPR, Lab, Result, page
from .races import Call, Ending, all_orders, call

SECOND = page(HOME, 72)
RUN = call(ENTER, rcx=TDVPR)
ACCEPT_GPA = call(ACCEPT, rcx=GPA)
BLOCK = call("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR)
BLOCK_TABLE = call("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)
AUG = call("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
TRACK = call("MEM.TRACK", rcx=TDR)
REMOVE_PAIR = call("PHYMEM.PAMT.REMOVE", rcx=page(HOME) | 1)
ADD_PAIR = call("PHYMEM.PAMT.ADD", rcx=page(HOME) | 1, rdx=page(300), r8=page(301))
BUSY = "OPERAND_BUSY|RCX"


def during(lab: Lab, *calls: Call) -> list[str]:
    """What each host call gives on CPU 1 while the vCPU runs on CPU 0."""
    answers: list[str] = []

    def program(guest: Guest) -> int:
        answers.extend(lab.call(made.leaf, 1, **made.registers).text for made in calls)
        return EXTERNAL_INTERRUPT

    assert enter(lab, program).status == EXTERNAL_INTERRUPT
    assert lab.held() == {}
    return answers


@pytest.fixture
def lab() -> Lab:
    return Lab(cpus=2)


@pytest.mark.parametrize(
    ("made", "meanwhile", "afterwards"),
    [
        (REMOVE_PAIR, BUSY, "PAMT_PAGE_NOT_EMPTY|page 0"),
        (ADD_PAIR, BUSY, "HPA_RANGE_NOT_FREE|RCX"),
        (call("VP.FLUSH", rcx=TDVPR), BUSY, "VCPU_NOT_ASSOCIATED"),
        (call("PHYMEM.PAGE.RECLAIM", rcx=TDVPR), BUSY, "LIFECYCLE_STATE_INCORRECT"),
        (call("MNG.VPFLUSHDONE", rcx=TDR), BUSY, "FLUSHVP_NOT_DONE"),
        (RUN, "VCPU_STATE_INCORRECT|0x4", "VCPU_ASSOCIATED"),
        (TRACK, "SUCCESS", "SUCCESS"),
        (call("MNG.RD", rcx=TDR, rdx=0x9210_0003_0000_0000), "SUCCESS", "SUCCESS"),
        (AUG, "SUCCESS", "EPT_ENTRY_STATE_INCORRECT|RCX"),
    ],
    ids=lambda value: value.leaf if isinstance(value, Call) else "",
)
def test_what_the_host_can_do_while_a_vcpu_runs(
    lab: Lab, made: Call, meanwhile: str, afterwards: str
) -> None:
    runnable(lab).tables()
    assert during(lab, made) == [meanwhile]
    assert lab.call(made.leaf, 1, **made.registers).text == afterwards


def test_free_pages_of_the_range_of_a_running_vcpu_can_back_other_ranges(lab: Lab) -> None:
    runnable(lab)
    pair = call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(HOME, 300), r8=page(HOME, 301))
    unpair = call("PHYMEM.PAMT.REMOVE", rcx=page(0) | 1)
    assert during(lab, pair, unpair, pair) == ["SUCCESS"] * 3


def test_a_page_can_be_taken_away_only_when_no_vcpu_can_still_use_it(lab: Lab) -> None:
    runnable(lab).aug(NEW)
    remove = call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)
    assert during(lab, BLOCK, remove, TRACK, remove, TRACK) == [
        "SUCCESS",
        "TLB_TRACKING_NOT_DONE|RCX",
        "SUCCESS",
        "TLB_TRACKING_NOT_DONE|RCX",
        "PREVIOUS_TLB_EPOCH_BUSY",
    ]
    assert lab.call(remove.leaf, **remove.registers).text == "SUCCESS"


def test_a_vcpu_that_was_entered_after_the_tracking_is_not_in_the_way(lab: Lab) -> None:
    td = runnable(lab)
    td.aug(NEW)
    td.block()
    remove = call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)
    assert during(lab, TRACK, TRACK, remove) == ["SUCCESS", "PREVIOUS_TLB_EPOCH_BUSY", "SUCCESS"]


def test_two_vcpus_of_a_td_run_on_two_processors(lab: Lab) -> None:
    runnable(lab, vcpus=2)
    lab.ok("VP.FLUSH", rcx=SECOND)
    epoch = lab.module.tdr_at(TDR).tdcs.td_epoch
    counts: list[list[int]] = []
    inner: list[Result] = []

    def second(guest: Guest) -> int:
        counts.append(list(epoch.refcount))
        return EXTERNAL_INTERRUPT

    def first(guest: Guest) -> int:
        inner.append(enter(lab, second, cpu=1, rcx=SECOND))
        return EXTERNAL_INTERRUPT

    assert enter(lab, first).status == EXTERNAL_INTERRUPT
    assert inner[0].status == EXTERNAL_INTERRUPT
    assert (counts, epoch.refcount, lab.held()) == ([[0, 2]], [0, 0], {})


def test_the_vcpu_keeps_running_in_its_epoch_however_often_it_calls(lab: Lab) -> None:
    runnable(lab).aug(NEW)

    def program(guest: Guest) -> int:
        assert tdcall(guest, ACCEPT, rcx=GPA).text == "SUCCESS"
        assert lab.call(TRACK.leaf, 1, rcx=TDR).text == "SUCCESS"
        assert guest.access(GPA)
        assert lab.call(TRACK.leaf, 1, rcx=TDR).text == "PREVIOUS_TLB_EPOCH_BUSY"
        return EXTERNAL_INTERRUPT

    assert enter(lab, program).status == EXTERNAL_INTERRUPT
    assert lab.call(TRACK.leaf, rcx=TDR).text == "SUCCESS"


def with_script(*calls: Call, prepare: Callable[[Lab], object] = runnable) -> Callable[[Lab], None]:
    """A TD whose vCPU on CPU 0 will make these TDCALLs."""

    def set_up(lab: Lab) -> None:
        prepare(lab)
        lab.lps[0].guest = Script(*calls)

    return set_up


def pending(lab: Lab) -> None:
    runnable(lab).aug(NEW)


def tables(lab: Lab) -> None:
    runnable(lab).tables()


class Answers:
    """Collects, over all orders, what guest, host and S-EPT entry came to."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, SeptState]] = set()

    def __call__(self, ending: Ending) -> None:
        run, host = ending.results
        program = ending.lab.lps[0].guest
        assert isinstance(program, Script)
        told = program.texts[-1] if program.results else f"exit {run.status.detail}"
        self.seen.add((told, host.text, sept_state(ending.lab)))
        assert ending.lab.module.tdr_at(TDR).tdcs.td_epoch.refcount == [0, 0]


S = SeptState


def test_accept_and_block_contend_for_the_entry() -> None:
    answers = Answers()
    all_orders(with_script(ACCEPT_GPA, prepare=pending), RUN, BLOCK, answers)
    assert answers.seen == {
        ("SUCCESS", "SUCCESS", S.BLOCKED),
        ("SUCCESS", BUSY, S.MAPPED),
        (f"exit {EPT_VIOLATION}", "SUCCESS", S.PENDING_BLOCKED),
        (BUSY, "SUCCESS", S.PENDING_BLOCKED),
        (BUSY, BUSY, S.PENDING),
    }


def test_accept_may_be_beyond_its_table_when_that_is_blocked() -> None:
    """The walk holds nothing: it may be beyond the table when that is blocked."""
    seen: set[tuple[str, str]] = set()

    def note(ending: Ending) -> None:
        program = ending.lab.lps[0].guest
        assert isinstance(program, Script)
        told = program.texts[-1] if program.results else f"exit {ending.results[0].status.detail}"
        seen.add((told, ending.results[1].text))

    all_orders(with_script(ACCEPT_GPA, prepare=pending), RUN, BLOCK_TABLE, note)
    assert seen == {("SUCCESS", "SUCCESS"), (f"exit {EPT_VIOLATION}", "SUCCESS")}


def test_accept_and_aug_contend_for_the_entry() -> None:
    """PAGE_SIZE_MISMATCH: the entry was free when looked at, and a page when locked."""
    answers = Answers()
    all_orders(with_script(ACCEPT_GPA, prepare=tables), RUN, AUG, answers)
    assert answers.seen == {
        ("SUCCESS", "SUCCESS", S.MAPPED),
        (f"exit {EPT_VIOLATION}", "SUCCESS", S.PENDING),
        (f"exit {EPT_VIOLATION}", BUSY, S.FREE),
        ("PAGE_SIZE_MISMATCH|level 0", "SUCCESS", S.PENDING),
        (BUSY, "SUCCESS", S.PENDING),
        (BUSY, BUSY, S.FREE),
    }


def test_accept_keeps_out_the_removal_of_a_page_that_was_never_blocked() -> None:
    answers = Answers()
    remove = call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)
    all_orders(with_script(ACCEPT_GPA, prepare=pending), RUN, remove, answers)
    unblocked = "GPA_RANGE_NOT_BLOCKED|RCX"
    assert answers.seen == {
        ("SUCCESS", unblocked, S.MAPPED),
        ("SUCCESS", BUSY, S.MAPPED),
        (BUSY, unblocked, S.PENDING),
        (BUSY, BUSY, S.PENDING),
    }


def test_reading_attributes_keeps_the_host_out_as_well() -> None:
    answers = Answers()
    all_orders(with_script(call(READ, rcx=GPA), prepare=pending), RUN, BLOCK, answers, 1)
    assert ("SUCCESS", BUSY, S.PENDING) in answers.seen


def test_a_host_that_was_kept_out_goes_first_the_next_time() -> None:
    """It left its mark: until it has been back, a guest that tries again is told BUSY."""
    kept_out = 0

    def come_back(ending: Ending) -> None:
        nonlocal kept_out
        program = ending.lab.lps[0].guest
        assert isinstance(program, Script)
        if ending.results[1].text != BUSY:
            return
        if BUSY in program.texts:
            kept_out += 1
            assert set(program.texts[program.texts.index(BUSY) :]) == {BUSY}
        assert septe(ending.lab).raw & TDHP
        ending.lab.ok(BLOCK.leaf, 1, **BLOCK.registers)
        assert not septe(ending.lab).raw & TDHP

    script = with_script(ACCEPT_GPA, ACCEPT_GPA, ACCEPT_GPA, prepare=pending)
    all_orders(script, RUN, BLOCK, come_back, preemptions=1)
    assert kept_out > 0


def test_entering_and_removing_the_pair_of_the_vcpus_range_contend() -> None:
    outcomes = all_orders(runnable, RUN, REMOVE_PAIR)
    not_empty = "PAMT_PAGE_NOT_EMPTY|page 0"
    assert set(outcomes) == {("SUCCESS", not_empty), ("SUCCESS", BUSY), (BUSY, not_empty)}


def test_entering_never_minds_its_range_being_donors() -> None:
    pair = call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(HOME, 300), r8=page(HOME, 301))
    assert set(all_orders(runnable, RUN, pair)) == {("SUCCESS", "SUCCESS")}


def test_entering_and_tracking_contend_for_the_epoch() -> None:
    """The vCPU is in the old epoch or in the new one; or it comes to nothing for now."""
    again: set[str] = set()

    def track_again(lab: Lab, result: Result) -> None:
        again.add(lab.call(TRACK.leaf, 1, rcx=TDR).text)

    outcomes = all_orders(runnable, RUN, Call(TRACK.leaf, TRACK.registers, track_again))
    assert set(outcomes) == {
        ("SUCCESS", "SUCCESS"),
        ("SUCCESS", "OPERAND_BUSY|TD_EPOCH"),
        ("OPERAND_BUSY|TD_EPOCH", "SUCCESS"),
    }
    assert again >= {"SUCCESS", "PREVIOUS_TLB_EPOCH_BUSY"}


def test_entering_one_vcpu_twice() -> None:
    def flushed(lab: Lab) -> None:
        runnable(lab)
        lab.ok("VP.FLUSH", rcx=TDVPR)

    outcomes = all_orders(flushed, RUN, RUN)
    active = "VCPU_STATE_INCORRECT|0x4"
    assert set(outcomes) == {
        *(("SUCCESS", loser) for loser in ("VCPU_ASSOCIATED", active)),
        *((loser, "SUCCESS") for loser in ("VCPU_ASSOCIATED", active)),
    }


def test_entering_and_flushing_contend_for_the_vcpu() -> None:
    outcomes = all_orders(runnable, RUN, call("VP.FLUSH", rcx=TDVPR))
    assert set(outcomes) == {
        ("SUCCESS", BUSY),
        ("SUCCESS", "VCPU_NOT_ASSOCIATED"),
        (BUSY, "VCPU_NOT_ASSOCIATED"),
    }


def suspected(lab: Lab) -> None:
    """The guest faulted seven times without progress, and the page is there now."""
    runnable(lab).tables()
    for _ in range(7):
        assert enter(lab, touch()).status == EPT_VIOLATION
    lab.ok(AUG.leaf, **AUG.registers)
    lab.lps[0].guest = None


def test_an_entry_under_suspicion_contends_for_the_tree() -> None:
    tree = "OPERAND_BUSY|SEPT_TREE"
    outcomes = all_orders(suspected, RUN, BLOCK)
    assert set(outcomes) == {("SUCCESS", "SUCCESS"), ("SUCCESS", tree), (tree, "SUCCESS")}


def test_an_entry_under_suspicion_does_not_mind_sharers_of_the_tree() -> None:
    sept_rd = call("MEM.SEPT.RD", rcx=GPA, rdx=TDR)
    assert set(all_orders(suspected, RUN, sept_rd, preemptions=1)) == {("SUCCESS", "SUCCESS")}
