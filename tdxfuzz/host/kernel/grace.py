"""RCU: readers that take no lock, and grace periods that wait for them.

Source: kernel/rcu/tree.c and Documentation/RCU (v6.19), as with CONFIG_PREEMPT_RCU: a reader may be
preempted, and may not sleep. The callbacks that KVM's paths leave are others (``rcu.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import BLIND, RMW, SHARED, Cpu, Declared, WaitLock

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.host.kernel.workqueue import Workqueue
    from tdxfuzz.sim import Simulator

FIRST_CALLBACK = 1 << 40
"""The numbers of callbacks among the items of work: from here on."""

CALLBACKS = 1
"""The queue of callbacks among those of items of work."""


class GracePeriods(WaitLock):
    """Who reads, and who waits for readers.

    ``readers``: how many sections each context is in. ``awaited``: for each context that waits for
    a grace period, the readers that it still waits for, as bits.

    Args:
        sim: the simulator.
        held: to notice what sleeps.
        pool: callbacks run there, each in a context of its own.
    """

    __slots__ = ("_held", "_pool", "awaited", "readers")

    STATE: ClassVar = Declared(shared="awaited readers", fixed="_held _pool")

    def __init__(self, sim: Simulator, held: HeldLocks, pool: Workqueue) -> None:
        super().__init__(sim, "rcu")
        self._held = held
        self._pool = pool
        self.readers = [0] * len(sim.cpus)
        self.awaited = [0] * len(sim.cpus)

    def holders(self) -> list[Cpu]:
        return [cpu for cpu in self.sim.cpus if self.readers[cpu.id]]

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return False

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """The readers that a CPU waits for."""
        return [each for each in self.sim.cpus if self.awaited[cpu.id] >> each.id & 1]

    @contextmanager
    def read(self) -> Iterator[None]:
        """``rcu_read_lock`` and ``rcu_read_unlock``. The outermost ones are a step each."""
        cpu = self.sim.current.id
        if not self.readers[cpu]:
            self.sim.step(self, RMW | SHARED | BLIND)
        self.readers[cpu] += 1
        self._held.no_sleep[cpu] += 1
        yield
        if self.readers[cpu] == 1:
            self.sim.step(self, RMW | SHARED | BLIND)
        self._held.no_sleep[cpu] -= 1
        self.readers[cpu] -= 1
        if not self.readers[cpu]:
            self._leaves(cpu)

    @property
    def reads(self) -> bool:
        """``rcu_read_lock_held``: whether the current CPU is in a section."""
        return self.readers[self.sim.current.id] > 0

    def synchronize(self) -> None:
        """``synchronize_rcu``: wait for all that read now. Sleeps."""
        if not self._held.may_sleep():
            self._held.watch.slept_in_atomic("synchronize_rcu()")
        sim, cpu = self.sim, self.sim.current.id
        sim.step(self, RMW)
        readers = sum(1 << i for i, depth in enumerate(self.readers) if depth)
        # In a set-up nobody else can read.
        if readers and sim.running:
            self.awaited[cpu] = readers
            self._wait(exclusive=False)

    def call(self, function: Callable[[int], None], argument: int) -> None:
        """``call_rcu``: ``function(argument)`` runs after a grace period, in a context of its own,
        where nothing may sleep.
        """

        def callback() -> None:
            self.synchronize()
            cpu = self.sim.current.id
            self._held.no_sleep[cpu] += 1
            function(argument)
            self._held.no_sleep[cpu] -= 1

        name = f"call_rcu({function.__name__})"
        self._pool.once(FIRST_CALLBACK, name, callback, argument, CALLBACKS)

    def barrier(self) -> None:
        """``rcu_barrier``: wait until all callbacks have run that were asked for. Sleeps."""
        self._pool.flush(CALLBACKS, "rcu_barrier()")

    def _leaves(self, reader: int) -> None:
        """A CPU does not read any more: whoever waited for it alone goes on."""
        for waiting in list(self.queue):
            cpu, _ = waiting
            if self.awaited[cpu.id]:
                self.awaited[cpu.id] &= ~(1 << reader)
                if not self.awaited[cpu.id]:
                    self.queue.remove(waiting)
                    self.sim.wake(cpu)
