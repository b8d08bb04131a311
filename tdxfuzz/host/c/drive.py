"""Runs C code on a context of the current CPU, and does what it asks for."""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn
from zlib import crc32

from tdxfuzz.abi.registers import ADD_PAIR
from tdxfuzz.host.c.cells import CountInC, MemoryCell
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.c.image import (
    DIRECT_MAP,
    HEAP,
    MEM_MAP,
    PAGES,
    STACK_SPACING,
    STACKS,
    ARENA_END,
    Image,
)
from tdxfuzz.host.c.machine import (
    ARG,
    CLOCK,
    DUE,
    LOOK_UP,
    PC,
    QUIET,
    REGS,
    SEEN,
    SHARED_TOKEN,
    TOKEN,
    TOKENS,
    TRACED,
    Request,
    machine,
)
from tdxfuzz.host.c.memory import CMemory
from tdxfuzz.host.design import PAMT_ADD, PAMT_REMOVE
from tdxfuzz.host.kernel.lock import Mutex, Rwlock, Spinlock
from tdxfuzz.host.kernel.page import GFP_ATOMIC, GFP_KERNEL

if TYPE_CHECKING:
    from tdxfuzz.host.c.layer import CLayer
    from tdxfuzz.host.machine import Machine

SPIN, MUTEX, READ_LOCK, WRITE_LOCK, TRY, IRQ = 0, 1, 2, 3, 8, 16
"""How a lock is taken: ``enum tdxc_lock`` of include/tdxfuzz/runtime.h."""

REGISTERS = (
    "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rbx", "rdi", "rsi",
)  # fmt: skip

_OPERATIONS = (
    "read", "set", "add {a}", "add_return {a}", "fetch_add {a}", "dec_and_test", "inc_and_test",
    "sub_and_test {a}", "add_negative {a}", "add_unless {a} {b}", "fetch_add_unless {a} {b}",
    "inc_unless_negative", "dec_unless_positive", "dec_if_positive", "cmpxchg {a} {b}", "xchg {a}",
    "fetch_and {a}", "fetch_or {a}", "fetch_xor {a}", "fetch_andnot {a}",
)  # fmt: skip
_READ = 0
_TESTS = (5, 6, 7, 8, 9, 11, 12)

LEAF = 0xFFFF
VERSION = 16
ENOMEM = 12


class Driver:
    """Drives the C code of one layer on one host.

    Args:
        memory: this host's.
        layer: on whose behalf.
        host: a machine with the layer.
    """

    def __init__(self, memory: CMemory, layer: CLayer, host: Machine) -> None:
        self.memory = memory
        self.layer = layer
        self.host = host

    @property
    def image(self) -> Image:
        """What is loaded."""
        return self.layer.image

    def call(self, function: int, a: int = 0, b: int = 0, page: int = 0) -> int:
        """Call a function; what it returns, as an ``int``.

        Args:
            function: its address.
            a: its first argument.
            b: its second one.
            page: the PFN of the page that the call is about; pages are handed on in order.

        Raises:
            CodeError: it crashes, does not end, or breaks a rule.
        """
        host, memory = self.host, self.memory
        sim, runtime = host.sim, machine()
        signed, words = runtime.signed, runtime.words
        memory.enter()
        cpu = sim.current
        context, thread = cpu.id, cpu.on
        if sim.running and not memory.running:
            memory.running = True
            runtime.begin_run(host.world.cpus)
        self._tokens(page)
        held = host.held_locks.of[context]
        before = len(held), cpu.irqs_off
        local = sim.local
        if local is not None:
            local.enter(context)
        signed[CLOCK], signed[DUE] = sim.clock, sim.due
        words[TRACED] = sim.trace is not None and sim.running
        request = runtime.start(context, thread, function, a, b, 0)
        while True:
            sim.clock = signed[CLOCK]
            if local is not None and words[SEEN + context]:
                local.learn(context, words[SEEN + context])
                words[SEEN + context] = 0
            if not request:
                break
            result = _HANDLERS[request](self, *signed[ARG : ARG + 4])
            signed[CLOCK], signed[DUE] = sim.clock, sim.due
            words[TRACED] = sim.trace is not None and sim.running
            request = runtime.resume(context, thread, result)
        value: int = ctypes.c_int(signed[ARG]).value
        if local is not None:
            local.leave(context, value)
        if (len(held), cpu.irqs_off) != before or memory.nests.get(context):
            self._unbalanced(function, before[0])
        return value

    def look_up(self, function: int, pfn: int) -> int:
        """What a function that only looks returns: no steps, no observations.

        Raises:
            CodeError: it does more.
        """
        runtime = machine()
        self.memory.enter()
        runtime.words[QUIET] = 1
        runtime.words[TOKENS] = 0
        request = runtime.start(LOOK_UP, self.host.sim.current.on, function, pfn, 0, 0)
        runtime.words[QUIET] = 0
        if request:
            if request >= Request.CRASH:
                _HANDLERS[request](self, *runtime.signed[ARG : ARG + 4])
            raise CodeError(
                f"{self._here()}: {self.image.function(function)}() is asked where a count is; it "
                "must do nothing else"
            )
        address: int = runtime.words[ARG]
        return address

    def lock(self, address: int, how: int = SPIN) -> Spinlock | Mutex | Rwlock:
        """The lock at an address, made when it is first asked for."""
        locks = self.memory.locks
        lock = locks.get(address)
        if lock is None:
            name = self.image.name(address)
            make = {MUTEX: self.layer.mutex, SPIN: self.layer.spinlock}.get(
                how & 7, self.layer.rwlock
            )
            lock = locks[address] = make(name)
        return lock

    def _tokens(self, page: int) -> None:
        """What orders this call after others: its page was handed on, and locks are held."""
        words = machine().words
        tokens = [page << 12] if page else []
        for hold in self.host.held_locks.of[self.host.sim.current.id][:6]:
            token = crc32(hold.name.encode()) << 8 | 1 << 56
            tokens.append(token if hold.exclusive else token | SHARED_TOKEN)
        words[TOKENS] = len(tokens)
        for i, token in enumerate(tokens):
            words[TOKEN + i] = token

    def _here(self) -> str:
        return self.image.where(machine().words[PC])

    def _unbalanced(self, function: int, locks: int) -> NoReturn:
        name = self.image.function(function)
        context = self.host.sim.current.id
        held = self.host.held_locks.of[context]
        if len(held) > locks:
            lock = held[-1].lock
            pc = self.memory.taken.get((context, id(lock)), 0)
            raise CodeError(
                f"{self.image.where(pc)}: {lock.name} is taken here and still held when {name}() "
                "returns"
            )
        nests = self.memory.nests.get(context)
        if nests:
            raise CodeError(f"{self.image.path.name}: {name}() returns inside of {nests[-1]}")
        raise CodeError(f"{self.image.path.name}: {name}() returns with interrupts off")

    # What C asks for. Arguments are those of the request, and what is returned is its result.

    def _step(self, address: int, access: int, *_: int) -> int:
        self.host.sim.step(self._cell(address), access)
        return 0

    def _cell(self, address: int) -> MemoryCell | CountInC:
        cells = self.memory.cells
        cell = cells.get(address)
        if cell is None:
            cell = cells[address] = MemoryCell(self.host.sim, self.image.name(address))
        return cell

    def _note(self, address: int, op: int, a: int, b: int) -> int:
        """An atomic operation was performed, in a run that is traced."""
        sim, signed = self.host.sim, machine().signed
        result, new = signed[REGS + 1], signed[REGS + 2]
        text = _OPERATIONS[op].format(a=a, b=b)
        if text == "add_unless 1 0":
            text = "inc_not_zero"
        assert sim.trace is not None
        sim.trace.add(
            sim.clock - 1,
            sim.current.id,
            "atomic",
            self._cell(address).name,
            text,
            bool(result) if op in _TESTS else result,
            new,
        )
        return 0

    def _lock(self, address: int, how: int, *_: int) -> int:
        pc = machine().words[PC]
        lock = self.lock(address, how)
        cpu = self.host.sim.current
        if how & IRQ:
            cpu.irqs_off += 1
        taken = True
        if isinstance(lock, Rwlock):
            reads = how & 7 == READ_LOCK
            if how & TRY:
                taken = lock.try_read_acquire() if reads else lock.try_write_acquire()
            elif reads:
                lock.read_acquire()
            else:
                lock.write_acquire()
        elif how & TRY:
            taken = lock.try_acquire()
        elif not self.host.sim.running and lock.owner is cpu:
            raise CodeError(f"{self.image.where(pc)}: {lock.name} is taken twice")
        else:
            lock.acquire()
        if taken:
            self.memory.taken[cpu.id, id(lock)] = pc
        elif how & IRQ:
            cpu.irqs_off -= 1
        return taken

    def _unlock(self, address: int, how: int, *_: int) -> int:
        lock = self.lock(address, how)
        cpu = self.host.sim.current
        if cpu not in lock.holders():
            raise CodeError(f"{self._here()}: {lock.name} is given up, but CPU {cpu.on} does not hold it")
        if not isinstance(lock, Rwlock):
            lock.release()
        elif how & 7 == READ_LOCK:
            lock.read_release()
        else:
            lock.write_release()
        if how & IRQ:
            cpu.irqs_off -= 1
        return 0

    def _held(self, address: int, *_: int) -> int:
        lock = self.memory.locks.get(address)
        return lock is not None and self.host.sim.current in lock.holders()

    def _not_held(self, address: int, *_: int) -> NoReturn:
        name = self.image.name(address)
        raise CodeError(f"{self._here()}: lockdep_assert_held({name}) fails")

    def _seamcall(self, leaf: int, answer: int, *_: int) -> int:
        words = machine().words
        values = words[REGS : REGS + len(REGISTERS)].tolist()
        registers = {name: value for name, value in zip(REGISTERS, values, strict=True) if value}
        registers.setdefault("rcx", 0)
        host, number = self.host, leaf & LEAF
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

    def _alloc_page(self, may_sleep: int, zero: int, *_: int) -> int:
        if may_sleep:
            self._check_sleep(f"alloc_page({GFP_KERNEL}) for a PAMT page")
        gfp = GFP_KERNEL if may_sleep else GFP_ATOMIC
        return self.host.pages.alloc_page(gfp, "PAMT page") or 0

    def _free_page(self, pfn: int, *_: int) -> int:
        self.host.pages.free_page(pfn)
        return 0

    def _reset_page(self, pfn: int, *_: int) -> int:
        self.host.pages.scrub(pfn)
        return 0

    def _warn(self, what: int, file: int, line: int, function: int) -> int:
        self.layer.warn(f"{_text(what)} ({_text(file)}:{line} in {_text(function)}())")
        return 0

    def _print(self, text: int, *_: int) -> int:
        self.host.note("print", 0, _text(text).strip())
        return 0

    def _relax(self, *_: int) -> int:
        local = self.host.sim.local
        context = self.host.sim.current.id
        self.host.cpu_relax(None if local is None else machine().standing(context))
        return 0

    def _may_sleep(self, what: int, *_: int) -> int:
        text = _text(what)
        if not self._check_sleep(text) and not self.host.held_locks.may_sleep():
            self.host.watch.slept_in_atomic(text)
        return 0

    def _check_sleep(self, what: str) -> bool:
        """Tell of a sleeper where preemption is off; locks are looked at elsewhere."""
        forbidden = bool(self.memory.nests.get(self.host.sim.current.id))
        if forbidden and self.host.held_locks.may_sleep():
            self.host.watch.slept_in_atomic(what)
        return forbidden

    def _counted(self, address: int, value: int, *_: int) -> int:
        count = self.memory.counts.get(address)
        if count is not None:
            count.was_put(value)
        return 0

    def _race(self, address: int, kind: int, first_pc: int, first_kind: int) -> int:
        pc = machine().words[PC]
        if (pc, first_pc) not in self.memory.told:
            self.memory.told.add((pc, first_pc))
            self.host.watch.raced(
                self.image.name(address),
                f"{_KINDS[kind]} at {self.image.where(pc)}",
                f"{_KINDS[first_kind]} at {self.image.where(first_pc)}",
            )
        return 0

    def _interrupts(self, change: int, *_: int) -> int:
        self.host.sim.current.irqs_off += change
        return 0

    def _cannot_sleep(self, change: int, why: int, *_: int) -> int:
        nests = self.memory.nests.setdefault(self.host.sim.current.id, [])
        if change > 0:
            nests.append(_text(why))
        elif nests:
            nests.pop()
        else:
            raise CodeError(f"{self._here()}: the end of {_text(why)} without its beginning")
        return 0

    def _crash(self, address: int, number: int, stack: int, *_: int) -> NoReturn:
        where = self._here()
        if stack == self.host.sim.current.id:
            raise CodeError(f"{where}: stack overflow: more than 64 KB in use")
        if number == signal.SIGILL:
            raise CodeError(
                f"{where}: undefined behaviour (UBSan: array bounds, shift, division, bool or enum)"
            )
        if number == signal.SIGFPE:
            raise CodeError(f"{where}: division by zero")
        raise CodeError(
            f"{where}: crash ({signal.Signals(number).name}) at {self.image.name(address)}"
        )

    def _hang(self, *_: int) -> NoReturn:
        raise CodeError(
            f"{self._here()}: an endless loop: 20 million blocks of code without a step of another "
            "CPU; a loop that waits needs cpu_relax() and READ_ONCE()"
        )

    def _bad_access(self, address: int, size: int, writes: int, *_: int) -> NoReturn:
        what = f"{'writes' if writes else 'reads'} {size} bytes at"
        raise CodeError(f"{self._here()}: {what} {self.image.name(address)}: {_why_bad(address)}")

    def _bug(self, what: int, file: int, line: int, *_: int) -> NoReturn:
        raise CodeError(f"{_text(file)}:{line}: {_text(what)}: the kernel stops here")

    def _bad_free(self, address: int, what: int, *_: int) -> NoReturn:
        raise CodeError(
            f"{self._here()}: {_text(what)}() of {self.image.name(address)}, which is not allocated"
        )

    def _no_memory(self, size: int, what: int, *_: int) -> NoReturn:
        raise CodeError(
            f"{self._here()}: {_text(what)} of {size} bytes: a layer has 32 MB of heap here"
        )

    def _too_much(self, *_: int) -> NoReturn:
        raise CodeError(
            f"{self._here()}: one run touches more memory than the check for data races can note"
        )


_KINDS = ("plain read", "plain write", "marked read", "marked write")

_HANDLERS: dict[int, Callable[..., int]] = {
    Request.STEP: Driver._step,
    Request.NOTE: Driver._note,
    Request.LOCK: Driver._lock,
    Request.UNLOCK: Driver._unlock,
    Request.SEAMCALL: Driver._seamcall,
    Request.ALLOC_PAGE: Driver._alloc_page,
    Request.FREE_PAGE: Driver._free_page,
    Request.RESET_PAGE: Driver._reset_page,
    Request.WARN: Driver._warn,
    Request.PRINT: Driver._print,
    Request.RELAX: Driver._relax,
    Request.MAY_SLEEP: Driver._may_sleep,
    Request.COUNTED: Driver._counted,
    Request.RACE: Driver._race,
    Request.INTERRUPTS: Driver._interrupts,
    Request.CANNOT_SLEEP: Driver._cannot_sleep,
    Request.HELD: Driver._held,
    Request.CRASH: Driver._crash,
    Request.HANG: Driver._hang,
    Request.BAD_ACCESS: Driver._bad_access,
    Request.BUG: Driver._bug,
    Request.BAD_FREE: Driver._bad_free,
    Request.NO_MEMORY: Driver._no_memory,
    Request.TOO_MUCH: Driver._too_much,
    Request.NOT_HELD: Driver._not_held,
}


def _text(address: int) -> str:
    return ctypes.string_at(address).decode(errors="replace") if address else ""


def _why_bad(address: int) -> str:
    address &= (1 << 64) - 1
    if address < 4096:
        return "a NULL pointer"
    if HEAP <= address < ARENA_END:
        return "outside of every object, or freed"
    if MEM_MAP <= address < HEAP and address < DIRECT_MAP:
        return "no struct page: the PFN is not below max_pfn, or not of this machine"
    if DIRECT_MAP <= address < DIRECT_MAP + (PAGES << 12):
        return "a page that is not the layer's, or was freed"
    if 0 <= address - STACKS < (LOOK_UP + 1) * STACK_SPACING:
        return "a stack object of a function that has returned"
    return "not memory of the layer"
