"""The kernel's primitives as a design asks for them: by name, on the host that it runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.atomic import Atomic64T, AtomicT
from tdxfuzz.host.kernel.completion import Completion
from tdxfuzz.host.kernel.llist import Llist
from tdxfuzz.host.kernel.lock import Mutex, Rwlock, Spinlock
from tdxfuzz.host.kernel.page import PageList
from tdxfuzz.host.kernel.percpu import PerCpu
from tdxfuzz.host.kernel.refcount_t import RefcountT
from tdxfuzz.host.kernel.seqcount import Seqcount
from tdxfuzz.host.kernel.workqueue import Work
from tdxfuzz.host.sealed import Sealed
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.host.machine import Machine


class Primitives(Sealed):
    """What is made when it is first asked for, and then found by its name."""

    STATE: ClassVar = Declared(fixed="_host")

    _host: Machine

    def spinlock(self, name: str, irqsave: bool = False) -> Spinlock:
        """The spinlock of this name, made when first asked for; ``with lock:``.

        ``irqsave``: it is always taken with ``spin_lock_irqsave``.
        """
        host = self._host
        return host.named(
            name, Spinlock, lambda: Spinlock(host.sim, name, host.held_locks, irqsave)
        )

    def rwlock(self, name: str) -> Rwlock:
        """The reader-writer spinlock of this name; ``with lock.read():``, ``.write()``."""
        host = self._host
        return host.named(name, Rwlock, lambda: Rwlock(host.sim, name, host.held_locks))

    def mutex(self, name: str) -> Mutex:
        """The mutex of this name, under which a CPU may sleep."""
        host = self._host
        return host.named(name, Mutex, lambda: Mutex(host.sim, name, host.held_locks))

    def atomic(self, name: str, value: int = 0) -> AtomicT:
        """The ``atomic_t`` of this name; ``value`` is what it starts with."""
        host = self._host
        return host.named(name, AtomicT, lambda: AtomicT(host.sim, name, value))

    def atomic64(self, name: str, value: int = 0) -> Atomic64T:
        """The ``atomic64_t`` of this name; ``value`` is what it starts with."""
        host = self._host
        return host.named(name, Atomic64T, lambda: Atomic64T(host.sim, name, value))

    def page_list(self, name: str) -> PageList:
        """The list of pages of this name, which CPUs may push to and pop from."""
        host = self._host
        return host.named(name, PageList, lambda: PageList(host.sim, name))

    def refcount_t(self, name: str, value: int = 0) -> RefcountT:
        """The ``refcount_t`` of this name, which saturates; ``value`` is what it starts with."""
        host = self._host
        return host.named(name, RefcountT, lambda: RefcountT(host.sim, name, value, self.warn))

    def llist(self, name: str) -> Llist:
        """The ``llist_head`` of this name: a list of numbers that takes no lock."""
        host = self._host
        return host.named(name, Llist, lambda: Llist(host.sim, name, self.warn))

    def work(self, name: str, function: Callable[[], None]) -> Work:
        """The ``struct work_struct`` of this name: ``function`` runs when it was scheduled."""
        host = self._host
        items = host.workqueue.items
        return host.named(
            name, Work, lambda: host.workqueue.item(len(items), f"work {name}", function)
        )

    def seqcount(self, name: str) -> Seqcount:
        """The ``seqcount_t`` of this name."""
        host = self._host
        return host.named(name, Seqcount, lambda: Seqcount(host, name, self.warn))

    def completion(self, name: str) -> Completion:
        """The ``struct completion`` of this name."""
        host = self._host
        return host.named(name, Completion, lambda: Completion(host.workqueue, name))

    def per_cpu(self, name: str) -> PerCpu:
        """The per-CPU variable of this name, 0 at first."""
        host = self._host
        return host.named(name, PerCpu, lambda: PerCpu(host.sim, name, host.held_locks, self.warn))

    def rcu_read(self) -> AbstractContextManager[None]:
        """``rcu_read_lock`` and ``rcu_read_unlock``: ``with self.rcu_read():``."""
        return self._host.grace_periods.read()

    def synchronize_rcu(self) -> None:
        """``synchronize_rcu``: wait for all readers that there are now. Sleeps."""
        self._host.grace_periods.synchronize()

    def call_rcu(self, function: Callable[[int], None], argument: int) -> None:
        """``call_rcu``: ``function(argument)`` runs behind the readers that there are now. Each
        callback takes one of the :attr:`kworkers`, and may not sleep.
        """
        self._host.grace_periods.call(function, argument)

    def rcu_barrier(self) -> None:
        """``rcu_barrier``: wait for all callbacks. Sleeps."""
        self._host.grace_periods.barrier()

    @contextmanager
    def preempt_disabled(self) -> Iterator[None]:
        """``preempt_disable`` and ``preempt_enable``: ``with self.preempt_disabled():``."""
        off, cpu = self._host.held_locks.no_preemption, self._host.sim.current.id
        off[cpu] += 1
        try:
            yield
        finally:
            off[cpu] -= 1

    def lockdep_assert_held(self, lock: Spinlock | Mutex | Rwlock) -> None:
        """``lockdep_assert_held``: a WARN if the current CPU does not hold a lock, in any mode."""
        host = self._host
        holds = host.held_locks.of[host.sim.current.id]
        if all(hold.lock is not lock for hold in holds):
            self.warn(f"lockdep_assert_held({lock.name})")

    def cpu_relax(self) -> None:
        """The head of a retry loop: let others go first."""
        self._host.cpu_relax()

    def warn(self, message: str) -> None:
        """``WARN_ONCE``: the design met what it cannot handle."""
        self._host.warn(type(self).__name__, message)
