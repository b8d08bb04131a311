"""Locks that wait: fair, first come first served, like the kernel's queued locks."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim.access import RMW
from tdxfuzz.sim.cell import NamedCell
from tdxfuzz.sim.cpu import State
from tdxfuzz.sim.deadlock import Deadlock, find_cycle
from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.errors import HarnessError, StopRun
from tdxfuzz.sim.worker import Worker

if TYPE_CHECKING:
    from tdxfuzz.sim.contents import Contents
    from tdxfuzz.sim.cpu import Cpu
    from tdxfuzz.sim.simulator import Simulator


def _is_stop(kind: type[BaseException] | None) -> bool:
    """Whether a ``with`` block is left because the run is over: nothing may act any more."""
    return kind is not None and issubclass(kind, StopRun)


class WaitLock(NamedCell):
    """What all waiting locks share: a name, a queue, and who stands in whose way."""

    __slots__ = ("queue",)

    STATE: ClassVar = Declared(shared="queue")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.queue: list[tuple[Cpu, bool]] = []

    def holders(self) -> list[Cpu]:
        """The CPUs that hold it now."""
        # Abstract: what holding means is what the kinds of locks differ in.
        raise NotImplementedError(f"{type(self).__name__} has no holders()")

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        """Whether a CPU holds it, and no other may."""
        raise NotImplementedError(f"{type(self).__name__} has no is_held_alone_by()")

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """Everyone ``cpu`` must wait for: the holders, and those ahead in the queue."""
        ahead = []
        for waiting, _ in self.queue:
            if waiting is cpu:
                break
            ahead.append(waiting)
        return self.holders() + ahead

    def _wait(self, exclusive: bool) -> None:
        """Queue the current CPU and run others until it has been handed the lock."""
        sim = self.sim
        if not sim.running and isinstance(sim.current, Worker):
            raise HarnessError(
                f"{self.name} is held by whoever waits for the item of work that takes it"
            )
        if not sim.running:
            raise HarnessError(f"{self.name} is taken twice, or was never released")
        cpu = sim.current
        self.queue.append((cpu, exclusive))
        cpu.state = State.BLOCKED
        cpu.waiting_for = self
        cycle = find_cycle(cpu)
        if cycle:
            sim.stop(Deadlock(cycle))
        sim.blocked()


class FairLock(WaitLock):
    """An exclusive lock. Use as ``with lock:`` or acquire and release it."""

    __slots__ = ("owner",)

    STATE: ClassVar = Declared(shared="owner")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.owner: Cpu | None = None

    def holders(self) -> list[Cpu]:
        return [] if self.owner is None else [self.owner]

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return self.owner is cpu

    def acquire(self) -> None:
        """Take the lock, waiting if need be. One step.

        Raises:
            Deadlock: waiting would never end.
        """
        sim = self.sim
        sim.step(self, RMW)
        if self.owner is None:
            self.owner = sim.current
        else:
            self._wait(exclusive=True)

    def release(self) -> None:
        """Give the lock to the first in the queue. One step.

        Raises:
            HarnessError: the current CPU does not hold it.
        """
        sim = self.sim
        if sim.over:
            return
        sim.step(self, RMW)
        if self.owner is not sim.current:
            raise HarnessError(f"{sim.current} releases {self.name}, which it does not hold")
        if self.queue:
            self.owner, _ = self.queue.pop(0)
            sim.wake(self.owner)
        else:
            self.owner = None

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not _is_stop(kind):
            self.release()


class FairRwLock(WaitLock):
    """A reader-writer lock; whoever queues behind a writer waits for it."""

    __slots__ = ("readers", "writer")

    STATE: ClassVar = Declared(shared="readers writer")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.readers: list[Cpu] = []
        self.writer: Cpu | None = None

    def holders(self) -> list[Cpu]:
        return self.readers + ([] if self.writer is None else [self.writer])

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return self.writer is cpu

    def in_key(self, read: Contents) -> tuple[object, ...]:
        """Who holds it and who waits. In which order readers came makes no difference."""
        return read(self.writer), sorted(cpu.id for cpu in self.readers), read(self.queue)

    def read_acquire(self) -> None:
        """Take it shared. One step."""
        sim = self.sim
        sim.step(self, RMW)
        if self.writer is None and not self.queue:
            self.readers.append(sim.current)
        else:
            self._wait(exclusive=False)

    def write_acquire(self) -> None:
        """Take it exclusive. One step."""
        sim = self.sim
        sim.step(self, RMW)
        if self.writer is None and not self.readers and not self.queue:
            self.writer = sim.current
        else:
            self._wait(exclusive=True)

    def read_release(self) -> None:
        """Give up a shared hold. One step.

        Raises:
            HarnessError: the current CPU holds it not shared.
        """
        sim = self.sim
        if sim.over:
            return
        sim.step(self, RMW)
        if sim.current not in self.readers:
            raise HarnessError(f"{sim.current} read-releases {self.name}, which it does not hold")
        self.readers.remove(sim.current)
        self._hand_over()

    def write_release(self) -> None:
        """Give up the exclusive hold. One step.

        Raises:
            HarnessError: the current CPU holds it not exclusive.
        """
        sim = self.sim
        if sim.over:
            return
        sim.step(self, RMW)
        if self.writer is not sim.current:
            raise HarnessError(f"{sim.current} write-releases {self.name}, which it does not hold")
        self.writer = None
        self._hand_over()

    def _hand_over(self) -> None:
        """Let in the first of the queue: one writer, or all readers up to a writer."""
        while self.queue and self.writer is None:
            cpu, exclusive = self.queue[0]
            if exclusive and self.readers:
                return
            self.queue.pop(0)
            if exclusive:
                self.writer = cpu
            else:
                self.readers.append(cpu)
            self.sim.wake(cpu)

    def read(self) -> LockSide:
        """For ``with lock.read():``."""
        return LockSide(self.read_acquire, self.read_release)

    def write(self) -> LockSide:
        """For ``with lock.write():``."""
        return LockSide(self.write_acquire, self.write_release)


class LockSide:
    """One side of a :class:`FairRwLock` as a context manager."""

    __slots__ = ("_acquire", "_release")

    def __init__(self, acquire: Callable[[], None], release: Callable[[], None]) -> None:
        self._acquire = acquire
        self._release = release

    def __enter__(self) -> None:
        self._acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not _is_stop(kind):
            self._release()
