"""Runs C code on a context of the current CPU, and does what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn
from zlib import crc32

from tdxfuzz.host.c import answers, faults, lock_answers
from tdxfuzz.host.c.answers import catch_up
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.c.ground import Ground
from tdxfuzz.host.c.machine import (
    ARG,
    CLOCK,
    CONTEXT,
    DUE,
    LATERS,
    LOOK_UP,
    PC,
    QUIET,
    RESULT,
    SEEN,
    SHARED_TOKEN,
    THREAD,
    TOKEN,
    TOKENS,
    TRACED,
    Request,
    machine,
)
from tdxfuzz.host.c.memory import CMemory
from tdxfuzz.host.kernel.hold import Hold


class Driver(Ground):
    """Drives the C code of one layer on one host. Arguments are those of Ground."""

    def call(
        self, function: int, a: int = 0, b: int = 0, page: int = 0, tokens: Sequence[int] = ()
    ) -> int:
        """Call a function; what it returns, as an ``int``.

        Args:
            function: its address.
            a: its first argument.
            b: its second one.
            page: the PFN of the page that the call is about; pages are handed on in order.
            tokens: what else orders it after others, and others after it.

        Raises:
            CodeError: it crashes, does not end, or breaks a rule.
        """
        host, memory = self.host, self.memory
        sim, runtime = host.sim, machine()
        signed, words = runtime.signed, runtime.words
        if CMemory.current is not memory:
            memory.enter()
        cpu = sim.current
        context, thread = cpu.id, cpu.on
        if sim.running and not memory.running:
            memory.running = True
            runtime.begin_run(host.world.cpus + len(sim.workers))
        held = host.held_locks.of[context]
        self._tokens(page, held, tokens)
        before = len(held), cpu.irqs_off
        local = sim.local
        if local is not None:
            local.enter(context)
        signed[CLOCK], signed[DUE] = sim.clock, sim.due
        words[TRACED] = sim.trace is not None
        resume, seen, at = runtime.resume, SEEN + context, memory.at
        words[CONTEXT] = context
        words[THREAD] = thread
        request = runtime.start(function, a, b)
        while True:
            sim.clock = signed[CLOCK]
            if words[LATERS]:
                catch_up(self)
            if local is not None and words[seen]:
                local.learn(context, words[seen])
                words[seen] = 0
            if not request:
                break
            at[context] = words[PC]
            # One by one: slices are slow, and this is the hottest place of a layer in C.
            result = HANDLERS[request](
                self, signed[ARG], signed[ARG + 1], signed[ARG + 2], signed[ARG + 3]
            )
            signed[CLOCK] = sim.clock
            signed[DUE] = sim.due
            words[CONTEXT] = context
            words[THREAD] = thread
            words[RESULT] = result
            request = resume()
        at[context] = 0
        value = (signed[ARG] + INT) % (2 * INT) - INT
        if local is not None:
            local.leave(context, value)
        if (len(held), cpu.irqs_off) != before or memory.nests.get(context):
            self._unbalanced(function, len(held) > before[0])
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
        runtime.words[CONTEXT] = LOOK_UP
        runtime.words[THREAD] = self.host.sim.current.on
        request = runtime.start(function, pfn, 0)
        runtime.words[QUIET] = 0
        if request:
            if request >= Request.CRASH:
                HANDLERS[request](self, *runtime.signed[ARG : ARG + 4])
            raise self.wrong(
                "look-up",
                f"{self.image.function(function)}() is asked where a count is; it must do nothing "
                "else",
            )
        address: int = runtime.words[ARG]
        return address

    def _tokens(self, page: int, held: list[Hold], tokens: Sequence[int]) -> None:
        """What orders this call after others: its page was handed on, and locks are held."""
        words, at = machine().words, TOKEN
        if page:
            words[at] = page << 12
            at += 1
        known = self.memory.tokens
        for hold in held[:MOST_HOLDS]:
            token = known.get(hold)
            if token is None:
                token = known[hold] = _token(hold)
            words[at] = token
            at += 1
        for token in tokens:
            words[at] = token
            at += 1
        words[TOKENS] = at - TOKEN

    def _unbalanced(self, function: int, holds: bool) -> NoReturn:
        name = self.image.function(function)
        context = self.host.sim.current.id
        if holds:
            lock = self.host.held_locks.of[context][-1].lock
            pc = self.memory.taken.get(lock, 0)
            raise CodeError(
                f"{self.image.where(pc)}: {lock.name} is taken here and still held when {name}() "
                "returns",
                "unlock",
                name,
            )
        nests = self.memory.nests.get(context)
        if nests:
            why, pc = nests[-1]
            said = f"{name}() returns inside of {why}, which begins here"
        else:
            pc = self.memory.irqs.get(context, function + 1)
            said = f"interrupts are turned off here and still off when {name}() returns"
        raise CodeError(f"{self.image.where(pc)}: {said}", "unbalanced", name)


MOST_HOLDS = 7
"""How many locks of its caller a call is ordered by."""


INT = 1 << 31


def _token(hold: Hold) -> int:
    """What stands for a lock of the caller, in the order of accesses."""
    token = crc32(hold.name.encode()) << 8 | 1 << 56
    return token if hold.exclusive else token | SHARED_TOKEN


HANDLERS: dict[int, Callable[..., int]] = {
    Request.STEP: answers.step,
    Request.NOTE: answers.note,
    Request.LOCK: lock_answers.lock,
    Request.UNLOCK: lock_answers.unlock,
    Request.SEAMCALL: answers.seamcall,
    Request.ALLOC_PAGE: answers.alloc_page,
    Request.FREE_PAGE: answers.free_page,
    Request.WARN: answers.warn,
    Request.PRINT: answers.message,
    Request.RELAX: answers.relax,
    Request.MAY_SLEEP: lock_answers.may_sleep,
    Request.CATCH_UP: answers.caught_up,
    Request.RACE: answers.race,
    Request.INTERRUPTS: lock_answers.interrupts,
    Request.SOFTIRQS: lock_answers.softirqs,
    Request.CANNOT_SLEEP: lock_answers.cannot_sleep,
    Request.IS_OFF: lock_answers.is_off,
    Request.HELD: lock_answers.held,
    Request.LOCKED: lock_answers.locked,
    Request.WORK: answers.work,
    Request.STAYS: lock_answers.stays,
    Request.CRASH: faults.crash,
    Request.HANG: faults.hang,
    Request.BAD_ACCESS: faults.bad_access,
    Request.BUG: faults.bug,
    Request.BAD_FREE: faults.bad_free,
    Request.NO_MEMORY: faults.no_memory,
    Request.TOO_MUCH: faults.too_much,
    Request.NOT_HELD: faults.not_held,
}
