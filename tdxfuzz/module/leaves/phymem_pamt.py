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
    PAMT_PAGE_NOT_EMPTY,
    R8,
    R9,
    R10,
    RAX,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.pamt import PT, Block, Walk
from tdxfuzz.sim import READ

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.pamt import PamtPage

_ADD_OPERANDS = {n: (ADD_PAIR[:n], (RDX, R8, R9, R10)[:n]) for n in (1, 2, 4)}
"""Registers of a pair's pages in ADD and REMOVE, with their operand ids, by their number."""


@leaf(58)
def tdh_phymem_pamt_add(m: TdxModule, call: Call) -> int:
    """Give a free 2MB range the page pair that holds its 4KB entries.

    Source: api_calls/tdh_phymem_pamt_add.c.
    """
    regs = call.regs
    target = check_range(m, regs.rcx)
    given, operands = _ADD_OPERANDS[m.pamt.variant.pair_pages]
    pages = tuple([getattr(regs, name) for name in given])

    blocks = tuple(
        [block_of_page(m, hpa, operand) for hpa, operand in zip(pages, operands, strict=True)]
    )
    if m.pamt.variant.donors_first:
        lock_backing_pages(m, call, pages, blocks, operands, own_range=target)
    walk = lock_range(m, call, target)
    if walk.level != LEVEL_2M or walk.entry.pt != PT.NDA:
        raise Refused(HPA_RANGE_NOT_FREE | RCX)
    node = walk.node

    if not m.pamt.variant.donors_first:
        lock_backing_pages(m, call, pages, blocks, operands, own_range=target)
    take_backing_pages(pages, blocks, operands)

    node.set_node(fill_backing_pages(m, pages, target, PT.NDA, 0), page_count=0)
    m.watch.pair_added(target)
    return SUCCESS


@leaf(59)
def tdh_phymem_pamt_remove(m: TdxModule, call: Call) -> int:
    """Take the page pair of a 2MB range back, if no page of the range is in use.

    Source: api_calls/tdh_phymem_pamt_remove.c.
    """
    regs, pamt = call.regs, m.pamt
    target = check_range(m, regs.rcx)
    walk = lock_range(m, call, target)
    if walk.level != LEVEL_2M or walk.entry.pt != PT.PAMT:
        raise Refused(NO_PAMT_PAGE_PAIR | RCX)
    node = walk.node

    # With the 2MB entry held, entries can only become free (by calls that lock a 4KB
    # entry alone), so one step at the end of the scan gives what any order of reads gives.
    m.sim.step(node, READ)
    for i, page in enumerate(node.backing):
        if not page.is_free():
            raise Refused(PAMT_PAGE_NOT_EMPTY | i)

    m.sim.step(node.page_count, READ)
    if node.page_count.value != 0:
        raise ModuleFatal(
            343, f"{node.name} has no page in use, but its page count is {node.page_count.value}"
        )

    for name, page in zip(_ADD_OPERANDS[len(node.backing)][0], node.backing, strict=True):
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
        raise Refused(OPERAND_INVALID | RAX)
    hpa = rcx & -SIZE_4K
    if rcx & 0xFFF != LEVEL_2M or hpa & m.hkid_mask or hpa >> 52 or hpa & SIZE_2M - 1:
        raise Refused(OPERAND_INVALID | RCX)
    return hpa


def lock_range(m: TdxModule, call: Call, target: int) -> Walk:
    """The entry of the 2MB range, exclusive; the walk may end above it."""
    walk = m.pamt.walk(target, block_of(m, target, RCX), EXCLUSIVE, LEVEL_2M)
    if walk is None:
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(walk.release)
    return walk


def block_of_page(m: TdxModule, hpa: int, operand: int) -> Block:
    """The PAMT block of a page the host offers for PAMT."""
    check_hpa(m, hpa, operand)
    return block_of(m, hpa, operand)


def lock_backing_pages(
    m: TdxModule,
    call: Call,
    pages: tuple[int, ...],
    blocks: tuple[Block, ...],
    operands: tuple[int, ...],
    own_range: int | None,
) -> None:
    """The pages must be unused; pages of ``own_range`` are covered by its lock already."""
    for hpa, block, operand in zip(pages, blocks, operands, strict=True):
        if own_range is not None and hpa >> 21 == own_range >> 21:
            continue
        walk = m.pamt.walk(hpa, block, m.pamt.variant.donor_mode)
        if walk is None:
            raise Refused(OPERAND_BUSY | operand)
        call.hold(walk.release)
        if walk.entry.pt != PT.NDA:
            raise Refused(PAGE_NOT_FREE | operand)


def take_backing_pages(
    pages: tuple[int, ...], blocks: tuple[Block, ...], operands: tuple[int, ...]
) -> None:
    """Set all bitmap bits, or none."""
    for i, hpa in enumerate(pages):
        if not blocks[i].tdmr.bitmap.test_and_set(hpa):
            for taken in range(i):
                blocks[taken].tdmr.bitmap.reset(pages[taken])
            raise Refused(PAGE_NOT_FREE | operands[i])


def fill_backing_pages(
    m: TdxModule, pages: tuple[int, ...], target: int, pt: PT, owner: int
) -> tuple[PamtPage, ...]:
    """Write all pages: the entries of the first 1MB of the range, and of the second."""
    backing = tuple([m.pamt.backing_page(hpa) for hpa in pages])
    for i, page in enumerate(backing):
        page.fill(target + i * SIZE_2M // len(backing), pt, owner)
    return backing
