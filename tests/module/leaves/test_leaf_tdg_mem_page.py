"""TDG.MEM.PAGE.ACCEPT, ATTR.RD and ATTR.WR: what the guest is told, and what the host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve, field, frozen

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.sept_entry import ACCEPT_COUNT, RWX, TDEL
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td_exit import EPT_VIOLATION, EXTERNAL_INTERRUPT
from tdxfuzz.module.td_params import DEFAULT
from tdxfuzz.sim import HarnessError

from ..guests import (
    ACCEPT,
    READ,
    WRITE,
    answer_of,
    enter,
    exit_of,
    runnable,
    sept_state,
    septe,
    touch,
)
from ..guests import Script as Guest
from ..lab import GPA, NEW, PARAMS, TDR, Lab, Td, page
from ..races import call
from ..states import nothing

LARGE = GPA | 1
PENDING_BIT = 1 << 62


@pytest.fixture
def td(lab: Lab) -> Td:
    """A TD that can run, with nothing mapped."""
    return runnable(lab)


def tables(td: Td) -> None:
    td.tables()


def upper_tables(td: Td) -> None:
    td.tables(down_to=2)


def pending(td: Td) -> None:
    td.aug(NEW)


def pending_large(td: Td) -> None:
    td.aug(page(0), level=1)


def accepted(td: Td) -> None:
    pending(td)
    assert answer_of(td.lab, ACCEPT, rcx=GPA).text == "SUCCESS"


def accepted_large(td: Td) -> None:
    pending_large(td)
    assert answer_of(td.lab, ACCEPT, rcx=LARGE).text == "SUCCESS"


def blocked(td: Td) -> None:
    accepted(td)
    td.block(track=False)


def pending_blocked(td: Td) -> None:
    pending(td)
    td.block(track=False)


def pending_blocked_large(td: Td) -> None:
    pending_large(td)
    td.block(level=1, track=False)


def blocked_table(td: Td) -> None:
    pending(td)
    td.block(level=1, track=False)


def locked(level: int = 0) -> Callable[[Td], None]:
    """The host is working on the entry, which is pending."""

    def before(td: Td) -> None:
        pending_large(td) if level else pending(td)
        assert septe(td.lab, level=level).lock_host()

    return before


def wanted(td: Td) -> None:
    """The host found the entry locked, and wants it before any guest."""
    pending(td)
    entry = septe(td.lab)
    assert entry.lock_guest() == 0
    assert not entry.lock_host()
    entry.unlock()


@frozen
class Answer:
    """A TDCALL that comes back: its leaf, state before, operands and status."""

    name: str
    leaf: str
    status: str
    before: Callable[[Td], None] = field(default=nothing)
    rcx: int = GPA
    rdx: int = 0
    r8: int = 0

    def __str__(self) -> str:
        return f"{self.leaf} {self.name}: {self.status}"


INVALID = "OPERAND_INVALID|RCX"
ANSWERS = [
    Answer("1GB", ACCEPT, INVALID, rcx=GPA | 2),
    Answer("not aligned", ACCEPT, INVALID, rcx=GPA + SIZE_4K | 1),
    Answer("reserved", ACCEPT, INVALID, rcx=GPA | 8),
    Answer("high bits", ACCEPT, INVALID, rcx=GPA | 1 << 52),
    Answer("shared", ACCEPT, INVALID, rcx=GPA | 1 << 47),
    Answer("too wide", ACCEPT, INVALID, rcx=1 << 46),
    Answer("4KB", ACCEPT, "SUCCESS", pending),
    Answer("2MB", ACCEPT, "SUCCESS", pending_large, rcx=LARGE),
    Answer("4KB again", ACCEPT, "PAGE_ALREADY_ACCEPTED|level 0", accepted),
    Answer("2MB again", ACCEPT, "PAGE_ALREADY_ACCEPTED|level 1", accepted_large, rcx=LARGE),
    Answer("4KB of it", ACCEPT, "PAGE_ALREADY_ACCEPTED|level 1", accepted_large),
    Answer("2MB in 4KB", ACCEPT, "PAGE_SIZE_MISMATCH|level 1", pending, rcx=LARGE),
    Answer("2MB, none yet", ACCEPT, "PAGE_SIZE_MISMATCH|level 1", tables, rcx=LARGE),
    Answer("locked", ACCEPT, "OPERAND_BUSY|RCX", locked()),
    Answer("2MB locked", ACCEPT, "OPERAND_BUSY|RCX", locked(1), rcx=LARGE),
    Answer("host first", ACCEPT, "OPERAND_BUSY|RCX", wanted),
    Answer("shared", READ, INVALID, rcx=GPA | 1 << 47),
    Answer("too wide", READ, INVALID, rcx=1 << 46),
    Answer("pending", READ, "SUCCESS", pending),
    Answer("accepted", READ, "SUCCESS", accepted),
    Answer("locked", READ, "OPERAND_BUSY|RCX", locked()),
    Answer("host first", READ, "OPERAND_BUSY|RCX", wanted),
    Answer("L1 attributes", WRITE, "OPERAND_INVALID|RDX", pending, rdx=1),
    Answer("L1 flags", WRITE, "OPERAND_INVALID|R8", pending, r8=1),
    Answer("no L2 VM", WRITE, "OPERAND_INVALID|RDX", pending, rdx=1 << 31),
    Answer("flags of none", WRITE, "OPERAND_INVALID|R8", pending, r8=1 << 63),
    Answer("attributes first", WRITE, "OPERAND_INVALID|RDX", pending, rcx=8, rdx=1, r8=1),
    Answer("512GB", WRITE, INVALID, rcx=3),
    Answer("shared", WRITE, INVALID, rcx=GPA | 1 << 47),
    Answer("2MB in 4KB", WRITE, "PAGE_SIZE_MISMATCH|level 1", pending, rcx=LARGE),
    Answer("locked", WRITE, "OPERAND_BUSY|RCX", locked()),
    Answer("host first", WRITE, "OPERAND_BUSY|RCX", wanted),
    Answer("pending", WRITE, "SUCCESS", pending),
    Answer("accepted", WRITE, "SUCCESS", accepted),
]


@pytest.mark.parametrize("row", ANSWERS, ids=str)
def test_what_the_guest_is_told(td: Td, row: Answer) -> None:
    row.before(td)
    held = td.lab.held()
    result = answer_of(td.lab, row.leaf, rcx=row.rcx, rdx=row.rdx, r8=row.r8)
    assert result.text == row.status
    assert td.lab.held() == held
    if row.leaf != ACCEPT and result.status.is_error:
        assert (result.regs.rcx, result.regs.rdx) == (0, 0)


@frozen
class Exit:
    """A TDCALL that ends in an EPT violation: what RCX, RDX and R8 tell the host."""

    name: str
    leaf: str
    before: Callable[[Td], None]
    rdx: int
    rcx: int = 2
    operand: int = GPA
    gpa: int = GPA

    def __str__(self) -> str:
        return f"{self.leaf} {self.name}"


def details(kind: int, wanted_level: int, level: int, state: SeptState, leaf: bool) -> int:
    info = wanted_level | level << 3 | state.public << 6 | leaf << 14
    return kind | info << 32


S = SeptState
EXITS = [
    Exit("no table", ACCEPT, nothing, details(1, 0, 3, S.FREE, False)),
    Exit("free", ACCEPT, tables, details(1, 0, 0, S.FREE, False)),
    Exit("2MB free", ACCEPT, upper_tables, details(1, 1, 1, S.FREE, False), operand=LARGE),
    Exit("too large", ACCEPT, pending_large, details(1, 0, 1, S.PENDING, True)),
    Exit("blocked", ACCEPT, pending_blocked, details(1, 0, 0, S.PENDING_BLOCKED, True)),
    Exit("blocked later", ACCEPT, blocked, details(1, 0, 0, S.BLOCKED, True)),
    Exit("table blocked", ACCEPT, blocked_table, details(1, 0, 1, S.NL_BLOCKED, False)),
    Exit("free", READ, tables, 0, rcx=0, operand=GPA + 0x7FF),
    Exit("no table", READ, nothing, 0, rcx=0),
    Exit("blocked", READ, blocked, 0, rcx=0),
    Exit("table blocked", READ, blocked_table, 0, rcx=0),
    Exit("no table", WRITE, nothing, details(5, 0, 3, S.FREE, False)),
    Exit("free", WRITE, tables, details(5, 0, 0, S.FREE, False)),
    Exit("blocked", WRITE, blocked, details(5, 0, 0, S.BLOCKED, True)),
    Exit(
        "accepted too large",
        WRITE,
        accepted_large,
        details(5, 0, 1, S.MAPPED, True),
        rcx=2 | 7 << 3,
    ),
]


@pytest.mark.parametrize("row", EXITS, ids=str)
def test_what_the_host_is_told(td: Td, row: Exit) -> None:
    row.before(td)
    state = td.lab.state()
    exit_ = exit_of(td.lab, call(row.leaf, rcx=row.operand))
    assert exit_.status == EPT_VIOLATION
    assert (exit_.regs.rcx, exit_.regs.rdx, exit_.regs.r8) == (row.rcx, row.rdx, row.gpa)
    assert (td.lab.state(), td.lab.held()) == (state, {})


@pytest.mark.parametrize("level", [0, 1])
def test_an_accepted_page_can_be_used(td: Td, level: int) -> None:
    pending_large(td) if level else pending(td)
    answer_of(td.lab, ACCEPT, rcx=GPA | level)
    entry = septe(td.lab, level=level)
    assert sept_state(td.lab, level=level) is SeptState.MAPPED
    assert entry.raw & (RWX | TDEL) == RWX
    assert enter(td.lab, touch(GPA + 0x1000 * 511 * level)).status == EXTERNAL_INTERRUPT


def test_accepting_is_one_lock_and_one_compare_exchange(td: Td) -> None:
    pending(td)
    events = td.lab.record()
    answer_of(td.lab, ACCEPT, rcx=GPA)
    name = septe(td.lab).name
    shown = [event for event in events if name in event]
    assert shown == [f"acq EX {name}", f"cmpxchg {name}", f"rel EX {name}"]


def test_accepting_touches_no_pamt_entry(td: Td) -> None:
    pending(td)
    before = (td.lab.entry(NEW).pt, td.lab.entry(NEW).word, td.lab.node(8).page_count.value)
    answer_of(td.lab, ACCEPT, rcx=GPA)
    after = (td.lab.entry(NEW).pt, td.lab.entry(NEW).word, td.lab.node(8).page_count.value)
    assert after == before


def test_a_host_that_waits_keeps_its_priority_over_an_accept(td: Td) -> None:
    """ACCEPT itself keeps the bit that a host sets while the entry is the guest's."""
    wanted(td)
    assert answer_of(td.lab, ACCEPT, rcx=GPA).text == "OPERAND_BUSY|RCX"
    td.block()
    td.lab.ok("MEM.RANGE.UNBLOCK", rcx=GPA, rdx=TDR)
    assert answer_of(td.lab, ACCEPT, rcx=GPA).text == "SUCCESS"


def test_an_interrupt_leaves_a_large_page_halfway(td: Td) -> None:
    pending_large(td)
    td.lab.lps[0].interrupt_pending = True
    for done in range(1, 4):
        guest = Guest(call(ACCEPT, rcx=LARGE))
        assert enter(td.lab, guest).status == EXTERNAL_INTERRUPT
        assert guest.results == []
        assert septe(td.lab, level=1).raw & ACCEPT_COUNT == done * SIZE_4K
        assert (sept_state(td.lab, level=1), td.lab.held()) == (SeptState.PENDING, {})
    td.lab.lps[0].interrupt_pending = False
    assert answer_of(td.lab, ACCEPT, rcx=LARGE).text == "SUCCESS"
    assert septe(td.lab, level=1).raw & ACCEPT_COUNT == 0


def test_the_last_small_page_is_accepted_in_spite_of_an_interrupt(td: Td) -> None:
    pending_large(td)
    septe(td.lab, level=1).raw |= ACCEPT_COUNT
    td.lab.lps[0].interrupt_pending = True
    assert answer_of(td.lab, ACCEPT, rcx=LARGE).text == "SUCCESS"


def test_a_small_page_is_accepted_in_spite_of_an_interrupt(td: Td) -> None:
    pending(td)
    td.lab.lps[0].interrupt_pending = True
    assert answer_of(td.lab, ACCEPT, rcx=GPA).text == "SUCCESS"


@pytest.fixture
def halfway(td: Td) -> Td:
    """Three 4KB pages of a pending 2MB page have been initialised."""
    pending_large(td)
    septe(td.lab, level=1).raw |= 3 * SIZE_4K
    return td


def test_how_far_an_accept_has_come_is_forgotten_by_a_block(halfway: Td) -> None:
    halfway.block(level=1)
    assert septe(halfway.lab, level=1).raw & ACCEPT_COUNT == 0
    assert halfway.remove(level=1).rcx == page(0)


def test_how_far_an_accept_has_come_is_no_part_of_the_address(halfway: Td) -> None:
    state = halfway.lab.state()
    septe(halfway.lab, level=1).raw &= ~ACCEPT_COUNT
    assert halfway.lab.state() == state
    septe(halfway.lab, level=1).raw |= 3 * SIZE_4K
    refused = halfway.lab.call("MEM.PAGE.REMOVE", rcx=LARGE, rdx=TDR)
    assert refused.text == "GPA_RANGE_NOT_BLOCKED|RCX"
    assert refused.regs.rcx & ACCEPT_COUNT == 0


def test_splitting_a_page_halfway_accepted_makes_all_of_it_pending_again(halfway: Td) -> None:
    lab = halfway.lab
    halfway.block(level=1)
    halfway.demote()
    assert sept_state(lab) is SeptState.PENDING
    assert septe(lab).raw >> 12 & 0xFFFFFF == page(0) >> 12


@pytest.mark.parametrize(
    ("before", "rcx"),
    [
        (pending, GPA | PENDING_BIT),
        (accepted, GPA),
        (pending_large, LARGE | PENDING_BIT),
        (accepted_large, LARGE),
    ],
)
def test_attributes_tell_where_and_how_large_a_page_is(
    td: Td, before: Callable[[Td], None], rcx: int
) -> None:
    before(td)
    result = answer_of(td.lab, READ, rcx=GPA + 0x123)
    assert (result.regs.rcx, result.regs.rdx) == (rcx, 0)


@pytest.mark.parametrize(("before", "bit"), [(pending, PENDING_BIT), (accepted, 0)])
def test_writing_no_attributes_changes_nothing(
    td: Td, before: Callable[[Td], None], bit: int
) -> None:
    before(td)
    raw = septe(td.lab).raw
    result = answer_of(td.lab, WRITE, rcx=GPA)
    assert (result.regs.rcx, result.regs.rdx) == (GPA | bit, 0)
    assert septe(td.lab).raw == raw


def with_l2_vm(lab: Lab) -> None:
    """A TD with one L2 VM and one vCPU, and a pending page."""
    td = Td(lab, 8)
    lab.pair(8)
    lab.ok("MNG.CREATE", rcx=TDR, rdx=40)
    lab.ok("MNG.KEY.CONFIG", rcx=TDR)
    for i in range(7):
        lab.ok("MNG.ADDCX", rcx=page(8, 1 + i), rdx=TDR)
    lab.module.memory.put(RawPage(PARAMS, evolve(DEFAULT, num_l2_vms=1).to_bytes()))
    lab.ok("MNG.INIT", rcx=TDR, rdx=PARAMS)
    tdvpr = td.vcpu(init=False)
    for i in range(6, 9):
        lab.ok("VP.ADDCX", rcx=tdvpr + (i + 40) * SIZE_4K, rdx=tdvpr)
    lab.ok("VP.INIT", rcx=tdvpr)
    lab.ok("MR.FINALIZE", rcx=TDR)
    td.aug(NEW)


@pytest.mark.parametrize(
    ("attributes", "status"),
    [(0, "SUCCESS"), (7 << 16, "OPERAND_INVALID|RDX"), (7 << 32, "OPERAND_INVALID|RDX")],
)
def test_attributes_of_an_l2_vm_have_to_be_valid(lab: Lab, attributes: int, status: str) -> None:
    with_l2_vm(lab)
    assert answer_of(lab, WRITE, rcx=GPA, rdx=attributes).text == status


def test_valid_attributes_of_an_l2_vm_are_not_modelled(lab: Lab) -> None:
    with_l2_vm(lab)
    with pytest.raises(HarnessError, match="not modelled for L2 VM 1"):
        answer_of(lab, WRITE, rcx=GPA, rdx=0x8007 << 16)


def test_a_neighbour_is_not_accepted_with_a_page(td: Td) -> None:
    pending(td)
    for gpa in (GPA + SIZE_4K, GPA + SIZE_2M):
        td.aug(page(8, 400 + (gpa >> 12 & 1)), gpa)
    answer_of(td.lab, ACCEPT, rcx=GPA)
    assert sept_state(td.lab, GPA + SIZE_4K) is SeptState.PENDING
    assert sept_state(td.lab, GPA + SIZE_2M) is SeptState.PENDING
