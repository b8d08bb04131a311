"""``spinlock_t``, ``rwlock_t``, ``struct mutex`` and ``rw_semaphore``: fair, and they wait.

Under which locks another is wanted is noted before anybody waits for it: a CPU may wait
for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import RMW, Declared, FairLock, FairRwLock, WaitLock

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.sim import Contents, Simulator


def _note(lock: WaitLock, what: str) -> None:
    """Record a lock operation that was just performed, in a run that is traced."""
    lock.sim.record(lock.sim.clock - 1, what, lock.name)


class _Exclusive(FairLock):
    """What spinlock and mutex share: a lock that is its own hold."""

    __slots__ = ("_held",)

    STATE: ClassVar = Declared(fixed="_held")

    spins: ClassVar[bool]
    exclusive: ClassVar[bool] = True

    def __init__(self, sim: Simulator, name: str, held: HeldLocks) -> None:
        super().__init__(sim, name)
        self._held = held

    @property
    def lock(self) -> WaitLock:
        return self

    def acquire(self) -> None:
        held = self._held
        holds = held.of[self.sim.current.id]
        if holds and (*holds, self) not in held.nested:
            held.note(holds, self)
        super().acquire()
        holds.append(self)
        if self.sim.trace is not None:
            _note(self, "lock")

    def try_acquire(self) -> bool:
        """Take it if nobody holds it; whether it was taken. One step."""
        sim = self.sim
        sim.step(self, RMW)
        if self.owner is not None:
            return False
        self.owner = sim.current
        self._held.of[sim.current.id].append(self)
        if sim.trace is not None:
            _note(self, "lock")
        return True

    def release(self) -> None:
        if not self.sim.over:
            holds = self._held.of[self.sim.current.id]
            if holds and holds[-1] is self:
                holds.pop()
            else:
                self._held.drop(self)
        super().release()
        if self.sim.trace is not None:
            _note(self, "unlock")


class Spinlock(_Exclusive):
    """``spin_lock`` and ``spin_unlock``: nothing inside may sleep.

    With ``irqsave`` they are ``spin_lock_irqsave`` and ``spin_unlock_irqrestore``: no softirq
    comes meanwhile, not even while its CPU waits for the lock.
    """

    __slots__ = ("irqsave",)

    STATE: ClassVar = Declared(fixed="irqsave")

    spins = True

    def __init__(self, sim: Simulator, name: str, held: HeldLocks, irqsave: bool = False) -> None:
        super().__init__(sim, name, held)
        self.irqsave = irqsave

    def acquire(self) -> None:
        if self.irqsave:
            self.sim.current.irqs_off += 1
        if self.sim.softirqs:
            self._held.note_context(self)
        super().acquire()

    def release(self) -> None:
        super().release()
        if self.irqsave:
            self.sim.current.irqs_off -= 1


class Mutex(_Exclusive):
    """``mutex_lock`` and ``mutex_unlock``: whoever waits for it sleeps, and a holder may."""

    __slots__ = ()

    spins = False

    def acquire(self) -> None:
        if not self._held.may_sleep():
            self._held.watch.slept_in_atomic(f"mutex_lock({self.name})")
        super().acquire()


class ReadSide:
    """A shared hold of an rwlock; one stands for all readers."""

    __slots__ = ("lock", "name", "spins")

    STATE: ClassVar = Declared(fixed="lock name spins")

    exclusive: ClassVar[bool] = False

    def __init__(self, lock: Rwlock) -> None:
        self.lock: WaitLock = lock
        self.name = lock.name
        self.spins = lock.spins


class Rwlock(FairRwLock):
    """``read_lock`` and ``write_lock``: nothing inside may sleep.

    ``written`` tells whether anybody ever wanted to write.
    """

    __slots__ = ("_held", "_reading", "written")

    STATE: ClassVar = Declared(memory="written", fixed="_held _reading")

    spins: ClassVar[bool] = True
    exclusive: ClassVar[bool] = True

    def __init__(self, sim: Simulator, name: str, held: HeldLocks) -> None:
        super().__init__(sim, name)
        self._held = held
        self._reading = ReadSide(self)
        self.written = False

    def in_key(self, read: Contents) -> tuple[object, ...]:
        holds = super().in_key(read)
        return (*holds, self.written) if read.memory else holds

    @property
    def lock(self) -> WaitLock:
        return self

    def read_acquire(self) -> None:
        held = self._held
        if self.sim.softirqs and self.spins:
            held.note_context(self._reading)
        holds = held.of[self.sim.current.id]
        if holds and (*holds, self._reading) not in held.nested:
            held.note(holds, self._reading)
        super().read_acquire()
        holds.append(self._reading)
        if self.sim.trace is not None:
            _note(self, "read-lock")

    def write_acquire(self) -> None:
        held = self._held
        holds = held.of[self.sim.current.id]
        if holds and (*holds, self) not in held.nested:
            held.note(holds, self)
        self.written = True
        if self.sim.softirqs and self.spins:
            held.note_context(self)
        super().write_acquire()
        holds.append(self)
        if self.sim.trace is not None:
            _note(self, "write-lock")

    def try_read_acquire(self) -> bool:
        """Take it shared if that needs no waiting; whether it was taken. One step."""
        sim = self.sim
        sim.step(self, RMW)
        if self.writer is not None or self.queue:
            return False
        self.readers.append(sim.current)
        self._held.of[sim.current.id].append(self._reading)
        if sim.trace is not None:
            _note(self, "read-lock")
        return True

    def try_write_acquire(self) -> bool:
        """Take it exclusive if nobody holds it; whether it was taken. One step."""
        sim = self.sim
        sim.step(self, RMW)
        if self.writer is not None or self.readers or self.queue:
            return False
        self.written = True
        self.writer = sim.current
        self._held.of[sim.current.id].append(self)
        if sim.trace is not None:
            _note(self, "write-lock")
        return True

    def read_release(self) -> None:
        if not self.sim.over:
            self._held.drop(self._reading)
        super().read_release()
        if self.sim.trace is not None:
            _note(self, "read-unlock")

    def write_release(self) -> None:
        if not self.sim.over:
            self._held.drop(self)
        super().write_release()
        if self.sim.trace is not None:
            _note(self, "write-unlock")


class Rwsem(Rwlock):
    """``down_read`` and ``down_write``: whoever waits for it sleeps, and a holder may."""

    __slots__ = ()

    spins = False
