"""What each CPU holds: which locks, in which order, and whether it may sleep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tdxfuzz.host.kernel.hold import Context, Hold
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.sim import Contents, Simulator


class Nesting(NamedTuple):
    """A hold was wanted under others, the one taken first in front; when, and by which CPU,
    for the first time. The steps of a set-up are 0.
    """

    outer: tuple[Hold, ...]
    wanted: Hold
    step: int
    cpu: int


class HeldLocks:
    """The holds of each CPU by its id, the one taken last at the end.

    ``nested`` has every way in which locks were taken under others in this run: the holds
    from the first to the one wanted, with step and CPU. Taking locks as before costs one
    look-up in it, and observers hear of each way once. ``contexts`` has, where there are
    softirqs, each context in which a spinning lock was taken, with step and CPU. ``no_preemption``
    and ``no_sleep`` count, for each CPU, other reasons for what they say.

    Args:
        sim: the simulator.
        cpus: how many there are.
        watch: who is told of locks wanted under others, and of sleepers.
    """

    __slots__ = ("_sim", "contexts", "nested", "no_preemption", "no_sleep", "of", "watch")

    STATE: ClassVar = Declared(
        memory="contexts nested", derived="no_preemption no_sleep of watch", fixed="_sim"
    )

    def __init__(self, sim: Simulator, cpus: int, watch: HostWatch | None = None) -> None:
        self._sim = sim
        self.contexts: dict[tuple[Hold, Context], tuple[int, int]] = {}
        self.nested: dict[tuple[Hold, ...], tuple[int, int]] = {}
        self.of: list[list[Hold]] = [[] for _ in range(cpus)]
        self.no_preemption = [0] * cpus
        self.no_sleep = [0] * cpus
        self.watch = watch or HostWatch()

    def in_key(self, read: Contents) -> tuple[object, ...]:
        """Which ways there were; not when and by which CPU for the first time, which is only told
        in messages.
        """
        ways = [tuple((hold.name, hold.exclusive) for hold in holds) for holds in self.nested]
        contexts = [(hold.name, hold.exclusive, how.value) for hold, how in self.contexts]
        return sorted(ways), sorted(contexts)

    def may_sleep(self) -> bool:
        """Whether the current CPU holds no spinning lock, has interrupts and preemption on, runs no
        softirq, and reads nothing under RCU. Once a run is over, what its CPUs were stopped under
        does not count.
        """
        sim = self._sim
        return sim.over or (self.may_be_preempted() and not self.no_sleep[sim.current.id])

    def may_be_preempted(self) -> bool:
        """Whether preemption is on for the current CPU."""
        cpu = self._sim.current
        # Not the hold taken last alone: mutex_trylock() may be called under a spinlock.
        for hold in self.of[cpu.id]:
            if hold.spins:
                return False
        return cpu.on == cpu.id and not cpu.irqs_off and not self.no_preemption[cpu.id]

    def note(self, holds: list[Hold], wanted: Hold) -> None:
        """The current CPU wants a lock under others as nobody has before."""
        sim = self._sim
        if not sim.over:
            at = sim.clock if sim.running else 0, sim.current.id
            self.nested[*holds, wanted] = at
            self.watch.lock_wanted(wanted, holds[-1])

    def note_context(self, wanted: Hold) -> None:
        """The current CPU wants a spinning lock, in a simulation with softirqs."""
        sim = self._sim
        cpu = sim.current
        if sim.over or not sim.running:
            return
        context = Context.IRQS_OFF if cpu.irqs_off else Context.IRQS_ON
        if cpu.on != cpu.id:
            context = Context.SOFTIRQ
        if (wanted, context) not in self.contexts:
            self.contexts[wanted, context] = sim.clock, cpu.on
            self.watch.lock_context(wanted, context)

    def drop(self, hold: Hold) -> None:
        """The current CPU gives up a hold, whether it was the last it took or not."""
        holds = self.of[self._sim.current.id]
        for i in reversed(range(len(holds))):
            if holds[i] is hold:
                del holds[i]
                return

    def nestings(self) -> Iterator[Nesting]:
        """All of ``nested``, in the order of their first occurrence."""
        for holds, (step, cpu) in self.nested.items():
            yield Nesting(holds[:-1], holds[-1], step, cpu)
