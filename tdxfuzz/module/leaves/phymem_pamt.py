"""TDH.PHYMEM.PAMT.ADD and REMOVE: dynamic PAMT pages in and out of a 2MB range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M, SIZE_2M, SIZE_4K
from tdxfuzz.abi.registers import ADD_PAIR
from tdxfuzz.module.access import block_of, check_hpa
from tdxfuzz.module.codes import (
    HPA_RANGE_NOT_FREE,
    NO_PAMT_PAGE_PAIR,
    OPERAND_BUSY,
    OPERAND_INVALID,
    PAGE_NOT_FREE,
    PAIR_OPERANDS,
    PAMT_PAGE_NOT_EMPTY,
    RAX,
    RCX,
    SUCCESS,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.pamt import PT, Block, Walk
from tdxfuzz.module.variants import RANGE
from tdxfuzz.sim import READ

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.pamt import PamtPage


class Donor:
    """A page that the host gives to back a range: its address, its operand's id, its block."""

    __slots__ = ("block", "hpa", "operand")

    def __init__(self, hpa: int, operand: int, block: Block) -> None:
        self.hpa = hpa
        self.operand = operand
        self.block = block


@leaf(58)
def tdh_phymem_pamt_add(m: TdxModule, call: Call) -> int:
    """Give a free 2MB range the page pair that holds its 4KB entries.

    Source: api_calls/tdh_phymem_pamt_add.c. The numbers are those of the checks in their
    order, as in tests/module/leaves/test_leaf_pamt_add.py; the dispatcher does 0.
    """
    regs = call.regs
    target = check_range(m, regs.rcx)  # 1, 2
    donors = []
    for hpa, operand in pair_operands(m, regs, ADD_PAIR):
        check_hpa(m, hpa, operand)  # 3, 5
        donors.append(Donor(hpa, operand, block_of(m, hpa, operand)))  # 4, 6

    walk = m.pamt.variant.range_then_donors(
        lambda: lock_free_range(m, call, target),  # 7, 8, 9
        lambda: lock_donors(m, call, donors, own_range=target),  # 10, 11
    )
    take_donors(donors)  # 12, 13

    backing = fill_backing_pages(m, donors, target, PT.NDA, 0)
    walk.node.set_node(backing, page_count=0)  # 14
    m.watch.pair_added(target)
    return SUCCESS


@leaf(59)
def tdh_phymem_pamt_remove(m: TdxModule, call: Call) -> int:
    """Take the page pair of a 2MB range back, if no page of the range is in use.

    Source: api_calls/tdh_phymem_pamt_remove.c. The numbers are those of the checks in their
    order, as in tests/module/leaves/test_leaf_pamt_remove.py.
    """
    regs, pamt = call.regs, m.pamt
    target = check_range(m, regs.rcx)  # 1, 2
    walk = lock_range(m, call, target)  # 3, 4
    if walk.level != LEVEL_2M or walk.entry.pt != PT.PAMT:
        raise Refused(NO_PAMT_PAGE_PAIR | RCX)  # 5
    node = walk.node

    # With the 2MB entry held, entries can only become free (by calls that lock a 4KB
    # entry alone), so one step at the end of the scan gives what any order of reads gives.
    m.sim.step(node, READ)
    for i, page in enumerate(node.backing):
        if not page.is_free():
            raise Refused(PAMT_PAGE_NOT_EMPTY | i)  # 6

    m.sim.step(node.page_count, READ)
    if node.page_count.value != 0:  # 7
        raise ModuleFatal(
            343, f"{node.name} has no page in use, but its page count is {node.page_count.value}"
        )

    for name, page in zip(pamt.variant.pair_of(ADD_PAIR), node.backing, strict=True):  # 8
        home = pamt.block_of(page.hpa)
        if home is None:
            raise ModuleFatal(338, f"no PAMT for PAMT page {page.hpa:#x}")
        home.tdmr.bitmap.reset(page.hpa)
        page.owned = False
        setattr(regs, name, page.hpa)
    node.pt = PT.NDA
    m.watch.pair_removed(target)
    return SUCCESS


def check_range(m: TdxModule, rcx: int) -> int:
    """The 2MB range that RCX names: the same checks for ADD and REMOVE."""
    if not m.pamt.dynamic:
        raise Refused(OPERAND_INVALID | RAX)  # 1
    hpa = rcx & -SIZE_4K
    if rcx & 0xFFF != LEVEL_2M or hpa & m.hkid_mask or hpa >> 52 or hpa & SIZE_2M - 1:
        raise Refused(OPERAND_INVALID | RCX)  # 2
    return hpa


def lock_range(m: TdxModule, call: Call, target: int) -> Walk:
    """The entry of the 2MB range, exclusive; the walk may end above it."""
    mode = m.variant.mode(call.leaf, RANGE, EXCLUSIVE)
    walk = m.pamt.walk(target, block_of(m, target, RCX), mode, LEVEL_2M)
    if walk is None:
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(walk.release)
    return walk


def lock_free_range(m: TdxModule, call: Call, target: int) -> Walk:
    """The entry of a 2MB range that has no pair yet, and is no 2MB page."""
    walk = lock_range(m, call, target)  # 7, 8
    if walk.level != LEVEL_2M or walk.entry.pt != PT.NDA:
        raise Refused(HPA_RANGE_NOT_FREE | RCX)  # 9
    return walk


def pair_operands(m: TdxModule, regs: Registers, names: tuple[str, ...]) -> list[tuple[int, int]]:
    """The pages that the host gives to back a range, each with the id of its operand."""
    return [(getattr(regs, name), PAIR_OPERANDS[name]) for name in m.pamt.variant.pair_of(names)]


def lock_donors(m: TdxModule, call: Call, donors: list[Donor], own_range: int | None) -> None:
    """The pages must be unused; pages of ``own_range`` are covered by its lock already."""
    for donor in donors:
        if own_range is not None and donor.hpa >> 21 == own_range >> 21:
            continue
        walk = m.pamt.walk_donor(donor.hpa, donor.block)
        if walk is None:
            raise Refused(OPERAND_BUSY | donor.operand)
        call.hold(walk.release)
        if walk.entry.pt != PT.NDA:
            raise Refused(PAGE_NOT_FREE | donor.operand)


def take_donors(donors: list[Donor]) -> None:
    """Set all bitmap bits, or none."""
    for i, donor in enumerate(donors):
        if not donor.block.tdmr.bitmap.test_and_set(donor.hpa):
            for taken in donors[:i]:
                taken.block.tdmr.bitmap.reset(taken.hpa)
            raise Refused(PAGE_NOT_FREE | donor.operand)


def fill_backing_pages(
    m: TdxModule, donors: list[Donor], target: int, pt: PT, owner: int
) -> tuple[PamtPage, ...]:
    """Write all pages: the entries of the first 1MB of the range, and of the second."""
    backing = tuple([m.pamt.backing_page(donor.hpa) for donor in donors])
    for i, page in enumerate(backing):
        m.pamt.split.fill(page, target + i * SIZE_2M // len(backing), pt, owner)
    return backing
