"""What C asks for, as answers.py has it: locks, and whether its CPU may sleep or be interrupted."""

from __future__ import annotations

from tdxfuzz.host.c.answers import text_at
from tdxfuzz.host.c.ground import READ_LOCK, TRY, WRITE_LOCK, Ground
from tdxfuzz.host.c.machine import PC, machine
from tdxfuzz.host.kernel.lock import Rwlock
from tdxfuzz.sim import READ, FairLock

IRQS, SOFTIRQS = 0, 1
"""What :func:`is_off` is asked: ``enum tdxc_asks``."""

RCU_READER = "rcu_read_lock()"
"""A nest in which nothing may sleep, though preemption stays on."""

ON_ITS_CPU = "migrate_disable()"
"""A nest in which all may sleep, and nothing moves to another CPU."""


def lock(d: Ground, address: int, how: int, *_: int) -> int:
    """Take a lock, or try to: whether it was taken."""
    pc = machine().words[PC]
    lock = d.lock(address, how)
    cpu = d.host.sim.current
    taken = True
    if isinstance(lock, Rwlock):
        reads = how & 3 == READ_LOCK
        if how & TRY:
            taken = lock.try_read_acquire() if reads else lock.try_write_acquire()
        elif reads:
            lock.read_acquire()
        else:
            lock.write_acquire()
    elif how & TRY:
        taken = lock.try_acquire()
    elif not d.host.sim.running and lock.owner is cpu:
        raise d.wrong("taken-twice", f"{lock.name} is taken twice")
    else:
        lock.acquire()
    if taken:
        d.memory.taken[lock] = pc
    return taken


def unlock(d: Ground, address: int, how: int, *_: int) -> int:
    """Give a lock up."""
    lock = d.lock(address, how)
    cpu = d.host.sim.current
    if lock.owner is not cpu if isinstance(lock, FairLock) else cpu not in lock.holders():
        raise d.wrong("not-held", f"{lock.name} is given up, but CPU {cpu.on} does not hold it")
    if not isinstance(lock, Rwlock):
        lock.release()
    elif how & 3 == READ_LOCK:
        lock.read_release()
    else:
        lock.write_release()
    return 0


def locked(d: Ground, address: int, how: int, contended: int, *_: int) -> int:
    """Whether anybody holds a lock, or waits for it: a step."""
    lock = d.lock(address, how)
    d.host.sim.step(lock, READ)
    return bool(lock.queue if contended else lock.holders())


def held(d: Ground, address: int, how: int, *_: int) -> int:
    """Whether the current CPU holds a lock: in any way, or shared, or alone."""
    lock, cpu = d.memory.locks.get(address), d.host.sim.current
    if lock is None or cpu not in lock.holders():
        return False
    return how not in (READ_LOCK, WRITE_LOCK) or lock.is_held_alone_by(cpu) == (how == WRITE_LOCK)


def interrupts(d: Ground, off: int, *_: int) -> int:
    """The current CPU's interrupts go off or on, however often they did before; whether they were
    off.
    """
    cpu, memory = d.host.sim.current, d.memory
    before = are_interrupts_off(d)
    if off and cpu.id not in memory.irqs_off:
        memory.irqs_off.add(cpu.id)
        memory.irqs[cpu.id] = machine().words[PC]
        cpu.irqs_off += 1
    elif not off and cpu.id in memory.irqs_off:
        memory.irqs_off.remove(cpu.id)
        cpu.irqs_off -= 1
    if not off and are_interrupts_off(d):
        raise d.wrong("unbalanced", "interrupts are turned on, but the caller has turned them off")
    return before


def are_interrupts_off(d: Ground) -> bool:
    """Whether the current CPU's are; softirqs alone do not count."""
    cpu = d.host.sim.current
    return cpu.irqs_off > d.memory.softirqs_off[cpu.id]


def softirqs(d: Ground, change: int, *_: int) -> int:
    """The current CPU's softirqs go off, or on again once they were turned on as often."""
    cpu, counts = d.host.sim.current, d.memory.softirqs_off
    if change < 0 and not counts[cpu.id]:
        raise d.wrong("unbalanced", "local_bh_enable() without local_bh_disable()")
    counts[cpu.id] += change
    cpu.irqs_off += change
    if change > 0:
        d.memory.irqs[cpu.id] = machine().words[PC]
    return 0


def is_off(d: Ground, what: int, *_: int) -> int:
    """Whether the current CPU has interrupts, softirqs or preemption off."""
    cpu = d.host.sim.current
    in_softirq = cpu.on != cpu.id
    if what == IRQS:
        return are_interrupts_off(d)
    if what == SOFTIRQS:
        return in_softirq or bool(d.memory.softirqs_off[cpu.id])
    return not d.host.held_locks.may_be_preempted()


def may_sleep(d: Ground, what: int, *_: int) -> int:
    """Something that may sleep was called."""
    if not d.host.held_locks.may_sleep():
        d.host.watch.slept_in_atomic(text_at(what))
    return 0


def cannot_sleep(d: Ground, change: int, why: int, *_: int) -> int:
    """A part begins in which the CPU is not as free as else, or it ends."""
    cpu, text, locks = d.host.sim.current.id, text_at(why), d.host.held_locks
    nests = d.memory.nests.setdefault(cpu, [])
    if change > 0:
        nests.append((text, machine().words[PC]))
    elif nests:
        nests.pop()
    else:
        raise d.wrong("unbalanced", f"the end of {text} without its beginning")
    if text != ON_ITS_CPU:
        counts = locks.no_sleep if text == RCU_READER else locks.no_preemption
        counts[cpu] += change
    return 0


def stays(d: Ground, what: int, *_: int) -> int:
    """Something that is about this CPU is used: a warning if the user might be moved away."""
    nests = d.memory.nests.get(d.host.sim.current.id, ())
    if d.host.held_locks.may_be_preempted() and not any(why == ON_ITS_CPU for why, _ in nests):
        d.layer.warn(f"{text_at(what)} in preemptible code ({d.here()})")
    return 0
