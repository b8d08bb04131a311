"""``spinlock_t``, ``rwlock_t`` and ``struct mutex``: fair, and they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.sim import FairLock, FairRwLock, WaitLock

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator


class Preemption:
    """How deep each CPU is in sections that must not sleep."""

    __slots__ = ("depth",)

    def __init__(self, cpus: int) -> None:
        self.depth = [0] * cpus

    def may_sleep(self, sim: Simulator) -> bool:
        """Whether the current CPU holds no spinning lock."""
        return self.depth[sim.current.id] == 0


def _note(lock: WaitLock, what: str) -> None:
    """Record a lock operation that was just performed, if the run is traced."""
    sim = lock.sim
    if sim.trace is not None and sim.running:
        sim.trace.add(sim.clock - 1, sim.current.id, what, lock.name)


class Spinlock(FairLock):
    """``spin_lock`` and ``spin_unlock``: nothing inside may sleep."""

    __slots__ = ("_preemption",)

    def __init__(self, sim: Simulator, name: str, preemption: Preemption) -> None:
        super().__init__(sim, name)
        self._preemption = preemption

    def acquire(self) -> None:
        super().acquire()
        self._preemption.depth[self.sim.current.id] += 1
        _note(self, "lock")

    def release(self) -> None:
        if not self.sim.over:
            self._preemption.depth[self.sim.current.id] -= 1
        super().release()
        _note(self, "unlock")


class Rwlock(FairRwLock):
    """``read_lock`` and ``write_lock``: nothing inside may sleep."""

    __slots__ = ("_preemption",)

    def __init__(self, sim: Simulator, name: str, preemption: Preemption) -> None:
        super().__init__(sim, name)
        self._preemption = preemption

    def read_acquire(self) -> None:
        super().read_acquire()
        self._preemption.depth[self.sim.current.id] += 1
        _note(self, "read-lock")

    def write_acquire(self) -> None:
        super().write_acquire()
        self._preemption.depth[self.sim.current.id] += 1
        _note(self, "write-lock")

    def read_release(self) -> None:
        if not self.sim.over:
            self._preemption.depth[self.sim.current.id] -= 1
        super().read_release()
        _note(self, "read-unlock")

    def write_release(self) -> None:
        if not self.sim.over:
            self._preemption.depth[self.sim.current.id] -= 1
        super().write_release()
        _note(self, "write-unlock")


class Mutex(FairLock):
    """``mutex_lock`` and ``mutex_unlock``: a holder may sleep."""

    __slots__ = ()

    def acquire(self) -> None:
        super().acquire()
        _note(self, "lock")

    def release(self) -> None:
        super().release()
        _note(self, "unlock")
