"""What C asks for: a function for each request, which returns the request's result.

Arguments are those of the request (runtime/inside.h, ``enum request``).
"""

from __future__ import annotations

import ctypes

from tdxfuzz.abi.registers import ADD_PAIR
from tdxfuzz.host.c.cells import CountInC, MemoryCell
from tdxfuzz.host.c.ground import Ground
from tdxfuzz.host.c.machine import (
    COUNTED,
    LATER,
    LATER_WORDS,
    LATERS,
    PC,
    REGS,
    machine,
)
from tdxfuzz.host.design import PAMT_ADD, PAMT_REMOVE
from tdxfuzz.host.kernel.page import GFP_ATOMIC, GFP_KERNEL

REGISTERS = (
    "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rbx", "rdi", "rsi",
)  # fmt: skip

OPERATIONS = (
    "read", "set", "add {a}", "add_return {a}", "fetch_add {a}", "dec_and_test", "inc_and_test",
    "sub_and_test {a}", "add_negative {a}", "add_unless {a} {b}", "fetch_add_unless {a} {b}",
    "inc_unless_negative", "dec_unless_positive", "dec_if_positive", "cmpxchg {a} {b}", "xchg {a}",
    "fetch_and {a}", "fetch_or {a}", "fetch_xor {a}", "fetch_andnot {a}", "dec_not_one",
)  # fmt: skip
_TESTS = (5, 6, 7, 8, 9, 11, 12)

NO_PIECE = 1
"""A step on memory of which nobody else is known to mind."""

LEAF = 0xFFFF
VERSION = 16


_KINDS = ("plain read", "plain write", "marked read", "marked write", "free")


def text_at(address: int) -> str:
    """A string of C."""
    return ctypes.string_at(address).decode(errors="replace") if address else ""


def catch_up(d: Ground) -> None:
    """Do what could wait until C leaves: no other CPU has run since."""
    signed, host = machine().signed, d.host
    sim = host.sim
    now = sim.clock
    for at in range(LATER, LATER + LATER_WORDS * signed[LATERS], LATER_WORDS):
        if signed[at] != COUNTED:
            host.pages.scrub(signed[at + 1])
            continue
        count = d.memory.counts.get(signed[at + 1])
        if count is not None:
            # A finding belongs to the step that wrote it.
            sim.clock = signed[at + 3]
            count.was_put(signed[at + 2])
    sim.clock = now
    signed[LATERS] = 0


def step(d: Ground, address: int, access: int, piece: int, *_: int) -> int:
    """An access is about to be performed."""
    d.host.sim.step(cell_of(d, address, piece) if piece else cell_at(d, address), access)
    return 0


def cell_at(d: Ground, address: int) -> MemoryCell | CountInC:
    """The cell that stands for an address."""
    cells = d.memory.cells
    cell = cells.get(address)
    if cell is None:
        name = d.image.name(address)
        cell = cells[address] = MemoryCell(d.host.sim, name, name)
    return cell


def cell_of(d: Ground, address: int, piece: int) -> MemoryCell:
    """The same where it is part of a larger piece, or where nobody else minds an access."""
    pieces = d.memory.pieces
    cell = pieces.get((address, piece))
    if cell is None:
        whole = "" if piece == NO_PIECE else d.image.name(piece)
        cell = MemoryCell(d.host.sim, cell_at(d, address).name, whole)
        pieces[address, piece] = cell
    return cell


def note(d: Ground, address: int, op: int, a: int, b: int) -> int:
    """An atomic operation was performed, in a run that is traced."""
    sim, signed = d.host.sim, machine().signed
    result, new = signed[REGS + 1], signed[REGS + 2]
    text = OPERATIONS[op].format(a=a, b=b)
    if text == "add_unless 1 0":
        text = "inc_not_zero"
    sim.record(
        sim.clock - 1,
        "atomic",
        cell_at(d, address).name,
        text,
        bool(result) if op in _TESTS else result,
        new,
    )
    return 0


def seamcall(d: Ground, leaf: int, answer: int, *_: int) -> int:
    """Make a SEAMCALL: its status; its registers stand in the state."""
    words = machine().words
    values = words[REGS : REGS + len(REGISTERS)].tolist()
    registers = {name: value for name, value in zip(REGISTERS, values, strict=True) if value}
    registers.setdefault("rcx", 0)
    host, number = d.host, leaf & LEAF
    if number == PAMT_ADD:
        for name in ADD_PAIR[: host.pair_pages]:
            host.watch.page_used(registers.get(name, 0) >> 12, "PAMT page")
    status, after = host.seamcall(number, leaf >> VERSION & 0xFF, **registers)
    if number == PAMT_REMOVE and not status.ok:
        host.watch.remove_refused(registers["rcx"] >> 12, status)
    if answer:
        for i, name in enumerate(REGISTERS):
            words[REGS + i] = getattr(after, name, 0)
    return int(status)


def alloc_page(d: Ground, may_sleep: int, zero: int, *_: int) -> int:
    """A page's PFN; 0 if there is none."""
    gfp = GFP_KERNEL if may_sleep else GFP_ATOMIC
    return d.host.pages.alloc_page(gfp, "PAMT page") or 0


def free_page(d: Ground, pfn: int, *_: int) -> int:
    """Give a page back."""
    d.host.pages.free_page(pfn)
    return 0


def warn(d: Ground, what: int, file: int, line: int, function: int) -> int:
    """WARN and its like."""
    d.layer.warn(f"{text_at(what)} ({text_at(file)}:{line} in {text_at(function)}())")
    return 0


def message(d: Ground, text: int, *_: int) -> int:
    """A line of the trace."""
    d.host.note("print", 0, text_at(text).strip())
    return 0


def relax(d: Ground, *_: int) -> int:
    """A retry point: all that C still knows is on its stack."""
    local = d.host.sim.local
    context = d.host.sim.current.id
    d.host.cpu_relax(None if local is None else machine().standing(context))
    return 0


QUEUE, FLUSH, CANCEL, CANCEL_SYNC, PENDING, FLUSH_QUEUE = range(6)
"""What is asked of an item of work: ``enum tdxc_work`` of include/tdxfuzz/runtime.h."""


def work(d: Ground, op: int, address: int, function: int, queue: int) -> int:
    """Do something with an item of work, or wait for all of a queue."""
    pool = d.host.workqueue
    if op == FLUSH_QUEUE:
        pool.flush(queue)
        return 0
    name = d.image.name(address)

    def perform() -> None:
        d.call(function, address, tokens=(address, item.stands_in))

    item = pool.item(address, f"work {name}", perform)
    if op == QUEUE:
        return item.schedule(queue)
    if op == FLUSH:
        return item.flush()
    if op == PENDING:
        return item.is_pending()
    if op == CANCEL:
        return item.cancel()
    return item.cancel_sync()


def caught_up(d: Ground, *_: int) -> int:
    """Nothing more: what could wait was done."""
    return 0


def race(d: Ground, address: int, kind: int, first_pc: int, first_kind: int) -> int:
    """Nothing orders an access and an earlier one."""
    pc = machine().words[PC]
    if (pc, first_pc) not in d.memory.told:
        d.memory.told.add((pc, first_pc))
        d.host.watch.raced(
            d.image.name(address),
            f"{_KINDS[kind]} at {d.image.where(pc)}",
            f"{_KINDS[first_kind]} at {d.image.where(first_pc)}",
        )
    return 0
